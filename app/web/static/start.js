// Starts a run for a symbol and shows how it goes. The token stays in this page's memory and is sent nowhere else.
(() => {
  "use strict";
  const form = document.getElementById("start");
  if (!form) return;
  form.hidden = false;
  const told = document.getElementById("progress");
  const field = document.getElementById("token");
  const ask = (path, more = {}) => fetch(`/api/v1/runs${path}`, { ...more, headers: { authorization: `Bearer ${field.value}`, "content-type": "application/json" } });
  const link = (run) => {
    told.replaceChildren(`${run.name || "The run"}: ${run.state.toLowerCase()}${run.message ? `, ${run.message}` : ""}. `);
    if (run.url && /^https?:\/\//.test(run.url)) {
      const there = document.createElement("a");
      there.href = run.url;
      there.textContent = "See it in Prefect";
      told.append(there);
    }
  };
  const watch = async (id) => {
    const answer = await ask(`/started/${encodeURIComponent(id)}`);
    if (!answer.ok) { told.textContent = (await answer.json()).detail; return; }
    const run = await answer.json();
    link(run);
    if (run.state === "COMPLETED") location.reload();
    else if (!["FAILED", "CANCELLED", "CRASHED"].includes(run.state)) setTimeout(() => watch(id), 2000);
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    told.textContent = "Asking Prefect …";
    try {
      const answer = await ask("", { method: "POST", body: JSON.stringify({ symbols: [form.dataset.symbol] }) });
      const body = await answer.json();
      if (answer.status !== 202 && answer.status !== 409) { told.textContent = body.detail; return; }
      link(body);
      watch(body.id);
    } catch { told.textContent = "No answer; is this page's server still there?"; }
  });
})();
