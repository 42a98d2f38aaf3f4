// Before the first paint, so that a chosen theme does not flash. Without a choice the browser's wish holds.
(() => {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch { /* storage may be off; then the browser's wish holds */ }
})();
