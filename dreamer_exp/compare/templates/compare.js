"use strict";
// Drawing of the curves. `data` (curve_data in page.py) holds them as base64 of little-endian float32.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const plot = byId("plot");
  if (data.metrics.length === 0) {
    plot.textContent = "No run has rows yet.";
    return;
  }
  const decoded = new Map();
  const colourOf = new Map(data.groups.flatMap((group) => group.runs.map((run) => [run, group.colour]))); // by run

  /** Decode base64 to a Float32Array; each text is decoded once. */
  function floats(text) {
    if (!decoded.has(text)) {
      decoded.set(text, new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer));
    }
    return decoded.get(text);
  }

  /** Escape a name: Plotly interprets tags, and %{...} in hover texts. */
  function escaped(text) {
    return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("%", "&#37;");
  }

  /** Return the mean over a centred window of `width`, in the unit of x; x ascends, and NaN in y stays NaN. */
  function smooth(x, y, width) {
    if (width === 0) return y;
    const add = (i, sign) => { if (!Number.isNaN(y[i])) { sum += sign * y[i]; count += sign; } };
    const result = new Float64Array(y.length);
    let sum = 0, count = 0, first = 0, after = 0;
    for (let i = 0; i < y.length; i++) {
      while (after < y.length && x[after] <= x[i] + width / 2) add(after++, 1);
      while (x[first] < x[i] - width / 2) add(first++, -1);
      result[i] = Number.isNaN(y[i]) ? NaN : sum / count;
    }
    return result;
  }

  /** Return the unit of a time axis that keeps its numbers small. */
  function timeUnit(seconds) {
    if (seconds > 2 * 3600) return { name: "h", seconds: 3600 };
    return seconds > 180 ? { name: "min", seconds: 60 } : { name: "s", seconds: 1 };
  }

  function ticked(kind) {
    return [...document.querySelectorAll(`input[data-${kind}]:checked`)].map((box) => +box.dataset[kind]);
  }

  /** Return the state of the controls. */
  function choice() {
    return {
      metric: data.metrics[byId("metric").value],
      axis: document.querySelector("input[name=axis]:checked").value,
      percent: +byId("smoothing").value,
      intervals: byId("intervals").checked,
      groups: ticked("group"),
      runs: byId("singles").checked ? ticked("run") : [],
    };
  }

  /** Return the selected curves of one metric: [{of, x, middle, low, high}] for groups, [{of, x, y}] for runs. */
  function curves(chosen) {
    const name = chosen.metric.name;
    const groups = chosen.groups.map((g) => data.groups[g]).filter((group) => group.curves[name]?.[chosen.axis]);
    const runs = chosen.runs.map((r) => ({ ...data.runs[r], colour: colourOf.get(r) }));
    return {
      groups: groups.map((of) => {
        const [x, middle, low, high] = of.curves[name][chosen.axis].map(floats);
        const spread = low.some((value) => !Number.isNaN(value)); // NaN: fewer than two runs
        // beyond, the group's curve would jump to the one remaining run
        const kept = middle.map((value, i) => (spread && Number.isNaN(low[i]) ? NaN : value));
        return { of, spread, x, middle: kept, low, high };
      }),
      runs: runs.filter((run) => run.curves[name]?.[chosen.axis]).map((of) => (
        { of, x: floats(of.curves[name][chosen.axis]), y: floats(of.curves[name].y) })),
    };
  }

  const rgba = (hex, alpha) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${alpha})`;

  /** Return Plotly's traces, faint ones first: bands, single runs, groups. */
  function traces(shown, chosen, axis) {
    const scaled = (x) => Array.from(x, (value) => value / axis.divisor);
    const smoothed = (curve, y) => Array.from(smooth(curve.x, y, axis.window));
    const number = chosen.metric.share ? ".1%" : ".4~g";
    const read = (value) => (chosen.metric.share ? `${(100 * value).toFixed(1)}%` : String(+value.toPrecision(4)));
    const title = escaped(chosen.metric.title);
    const hover = (name, value) => `${name}<br>${axis.hover}<br>${title}: ${value}<extra></extra>`;
    const line = { type: "scatter", mode: "lines", showlegend: false };
    const bands = !chosen.intervals ? [] : shown.groups.filter((curve) => curve.spread).map((curve) => {
      const there = (values) => values.filter((_, i) => !Number.isNaN(curve.low[i]));
      const x = there(scaled(curve.x));
      return {
        ...line, fill: "toself", hoverinfo: "skip", line: { width: 0 }, fillcolor: rgba(curve.of.colour, 0.16),
        x: [...x, ...x.toReversed()],
        y: [...there(smoothed(curve, curve.high)), ...there(smoothed(curve, curve.low)).reverse()],
      };
    });
    const runs = shown.runs.map((curve) => ({
      ...line, name: curve.of.name, x: scaled(curve.x), y: smoothed(curve, curve.y),
      opacity: 0.45, line: { color: curve.of.colour, width: 1 },
      hovertemplate: hover(escaped(curve.of.name), `%{y:${number}}`),
    }));
    const groups = shown.groups.map((curve) => ({
      ...line, name: curve.of.label, x: scaled(curve.x), y: smoothed(curve, curve.middle),
      customdata: Array.from(curve.low, (low, i) => `${read(low)} to ${read(curve.high[i])}`),
      line: { color: curve.of.colour, width: 3, dash: curve.of.dash },
      hovertemplate: hover(
        `<b>${escaped(curve.of.label)}</b>, n = ${curve.of.runs.length}`,
        `%{y:${number}}${curve.spread ? " (%{customdata})" : ""}`),
    }));
    return [...bands, ...runs, ...groups];
  }

  /** Return unit, title and smoothing window of the x axis for the curves on it. */
  function xAxis(shown, chosen) {
    const last = Math.max(0, ...[...shown.groups, ...shown.runs].map((curve) => curve.x[curve.x.length - 1]));
    const window = (chosen.percent / 100) * last;
    if (chosen.axis === "env_steps") {
      const wide = `${(+window.toPrecision(2)).toLocaleString("en")} steps`;
      return { divisor: 1, window, title: "environment steps", hover: "%{x:,.0f} env steps", wide };
    }
    const unit = timeUnit(last);
    return {
      divisor: unit.seconds, window, title: `wall time (${unit.name})`, hover: `%{x:.2f} ${unit.name}`,
      wide: `${+(window / unit.seconds).toPrecision(2)} ${unit.name}`,
    };
  }

  function layout(chosen, axis, empty) {
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const grid = { gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false, automargin: true };
    const middle = { showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 };
    const words = { ...middle, text: "No curve: no selected group or run has this metric on this axis." };
    return {
      paper_bgcolor: colour("--paper"), plot_bgcolor: colour("--paper"),
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") },
      margin: { l: 64, r: 16, t: 34, b: 64 }, hovermode: "closest", showlegend: false,
      hoverlabel: {
        bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink") }, align: "left",
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
      xaxis: { ...grid, title: { text: axis.title }, rangemode: "tozero", uirevision: chosen.axis },
      yaxis: {
        ...grid, title: { text: escaped(chosen.metric.title) }, uirevision: chosen.metric.name,
        ...(chosen.metric.share ? { range: [-0.02, 1.02], tickformat: ".0%" } : {}),
      },
      annotations: empty ? [words] : [],
    };
  }

  /** Show findings, statistics and titles of the chosen metric. */
  function follow(metric) {
    for (const part of document.querySelectorAll("[data-metric]")) part.hidden = part.dataset.metric !== metric.name;
    document.title = byId("title").textContent = `Comparison: ${metric.title}`;
  }

  function draw() {
    const chosen = choice();
    follow(chosen.metric);
    const shown = curves(chosen);
    const axis = xAxis(shown, chosen);
    const drawn = traces(shown, chosen, axis);
    for (const box of document.querySelectorAll("input[data-group]")) {
      const there = chosen.metric.name in data.groups[box.dataset.group].curves;
      box.closest("li").classList.toggle("absent", !there);
    }
    byId("smoothed").textContent = chosen.percent === 0 ? "off" : `mean over ${axis.wide}`;
    const counts = `${shown.groups.length} groups, ${shown.runs.length} single runs`;
    plot.setAttribute("aria-label", `${chosen.metric.title} over ${axis.title}: ${counts}`);
    const options = {
      displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "", // disables uploads of charts
      modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
      toImageButtonOptions: { filename: chosen.metric.name.replaceAll("/", "_"), scale: 2 },
    };
    return Plotly.react(plot, drawn, layout(chosen, axis, drawn.length === 0), options);
  }

  function tickAll(boxes, checked) {
    for (const box of boxes) box.checked = checked;
  }

  document.querySelector(".legend").addEventListener("change", (event) => {
    if (event.target.hasAttribute("data-group")) {
      tickAll(event.target.closest("li").querySelectorAll("input[data-run]"), event.target.checked);
    }
    draw();
  });
  byId("all").addEventListener("click", () => { tickAll(document.querySelectorAll(".groups input"), true); draw(); });
  byId("none").addEventListener("click", () => { tickAll(document.querySelectorAll(".groups input"), false); draw(); });
  for (const kind of ["input", "change"]) byId("controls").addEventListener(kind, draw);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
