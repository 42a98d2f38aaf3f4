// Draws the charts of a page with Plotly from the data blocks beside them, in the colours of the theme.
(() => {
  "use strict";
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const faded = (colour, alpha) => {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    return `rgba(${r},${g},${b},${alpha})`;
  };
  const colour = (role) => css(`--${{ wide: "ours", middle: "ours", narrow: "ours", first: "ours", second: "naive" }[role] || role}`);
  const depth = { wide: 0.14, middle: 0.2, narrow: 0.28 };
  const form = { price: ",.2f", percent: ".2~%", number: ".5~g" };

  const traces = (chart) => chart.layers.flatMap((layer) => {
    const ink = colour(layer.role);
    const hover = form[chart.y_form];
    const base = { x: layer.x, name: layer.name, hovertemplate: `%{y:${hover}}` };
    if (layer.kind === "band") {
      const edge = { type: "scatter", mode: "lines", x: layer.x, line: { width: 0 }, hoverinfo: "skip", legendgroup: layer.name };
      return [{ ...edge, y: layer.y, showlegend: false },
        { ...edge, y: layer.high, name: layer.name, fill: "tonexty", fillcolor: faded(ink, depth[layer.role] || 0.2) }];
    }
    if (layer.kind === "bars") return [{ ...base, type: "bar", y: layer.y, marker: { color: ink } }];
    if (layer.kind === "marks") return [{ ...base, type: "scatter", mode: "markers", y: layer.y, text: layer.text, hovertemplate: "%{text}", marker: { symbol: "triangle-up", size: 9, color: ink } }];
    if (layer.kind === "dots") return [{ ...base, type: "scatter", mode: "markers", y: layer.y, marker: { color: ink } }];
    return [{ ...base, type: "scatter", mode: layer.x.length < 12 && !layer.dash ? "lines+markers" : "lines", y: layer.y,
      line: { color: ink, width: 1.7, dash: layer.dash ? "dash" : "solid" } }];
  });

  const layout = (chart) => {
    const axis = { gridcolor: css("--line"), linecolor: css("--line"), zerolinecolor: css("--line"), zeroline: false, tickfont: { size: 11 }, automargin: true };
    const x = { ...axis, title: { text: chart.x_label, font: { size: 11 }, standoff: 8 }, type: { date: "date", category: "category" }[chart.x_kind] || "-" };
    const y = { ...axis, title: { text: chart.y_label, font: { size: 11 }, standoff: 8 }, tickformat: { percent: ".3~%", price: ",~f" }[chart.y_form] || "" };
    if (chart.range_y) y.range = chart.range_y;
    if (chart.zero) { y.zeroline = true; y.zerolinecolor = css("--muted"); }
    if (chart.x_kind === "number" && chart.square) x.tickformat = ".0%";
    if (chart.x_kind === "category" && [...new Set(chart.layers.flatMap((layer) => layer.x))].join("").length > 48) x.tickangle = -35;
    return { xaxis: x, yaxis: y, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), family: "system-ui, sans-serif", size: 12 },
      margin: { l: 8, r: 8, t: 8, b: 8 }, hovermode: chart.x_kind === "number" ? "closest" : "x unified", barmode: chart.stacked ? "stack" : "group", bargap: chart.layers[0].x.length < 4 ? 0.6 : 0.2,
      hoverlabel: { bgcolor: css("--paper"), bordercolor: css("--line"), font: { color: css("--ink") } },
      legend: { orientation: "h", y: 1.02, x: 0, yanchor: "bottom", font: { size: 11 } }, showlegend: chart.layers.length > 1 };
  };

  const draw = (figure) => {
    const chart = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const place = figure.querySelector(".plot");
    return Plotly.react(place, traces(chart), layout(chart), { responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset" })
      .then(() => { figure.dataset.drawn = "yes"; });
  };
  const figures = [...document.querySelectorAll("figure.chart")].filter((figure) => figure.querySelector(".plot"));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "400px" });
  figures.forEach((figure) => seen.observe(figure));
  addEventListener("beforeprint", () => figures.filter((figure) => !figure.dataset.drawn).forEach(draw));
  document.addEventListener("themechange", () => figures.filter((figure) => figure.dataset.drawn).forEach(draw));
})();
