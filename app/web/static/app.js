// What makes the pages better with scripts: the theme, tables that sort, a filter that answers while one types.
(() => {
  "use strict";
  const root = document.documentElement;
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  const button = document.getElementById("theme");
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `${button.textContent} theme`); };
  if (button) {
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* not kept, then */ }
      label();
      document.dispatchEvent(new Event("themechange"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { label(); document.dispatchEvent(new Event("themechange")); });
  }

  // Figures sort as figures, whatever stands around them; what has none sorts last.
  const value = (cell) => {
    const text = (cell?.textContent || "").trim();
    const found = /^[^\d\u2212+-]*([+\u2212-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)/.exec(text);
    if (/^\d{4}-\d\d/.test(text)) return text;
    if (cell?.classList.contains("num")) return found ? parseFloat(found[1].replaceAll(",", "").replace("\u2212", "-")) : null;
    return text.toLowerCase();
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.querySelectorAll("th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.classList.contains("num"));
        table.tHead.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [value(row.cells[column]), row]);
        rows.sort(([a], [b]) => (a === null ? 1 : b === null ? -1 : (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  // The table of Today is sorted and filtered by the server, which knows all rows; only its part of the page is exchanged.
  const filter = document.getElementById("filter");
  const found = document.getElementById("found");
  if (filter && found) {
    filter.querySelector("button").hidden = true;
    let asked = 0;
    const show = async (address) => {
      const mine = ++asked;
      found.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch(address, { headers: { accept: "text/html" } });
        if (!answer.ok) { location.href = address; return; }
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (mine !== asked) return;
        found.replaceChildren(...page.getElementById("found").childNodes);
        for (const name of ["sort", "dir"]) filter.elements[name].value = page.getElementById("filter").elements[name].value;
        history.replaceState(null, "", address);
      } finally { if (mine === asked) found.removeAttribute("aria-busy"); }
    };
    const wanted = () => `/?${new URLSearchParams(new FormData(filter))}`;
    let wait;
    filter.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(() => show(wanted()), 150); });
    filter.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(wait); show(wanted()); });
    found.addEventListener("click", (event) => {
      const link = event.target.closest("a.sort, .paging a");
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      const key = new URL(link.href).searchParams.get("sort");
      show(link.href).then(() => found.querySelector(`a.sort[href*="sort=${key}&"]`)?.focus());
    });
  }
})();
