// Lines over time with intervals and marked spans, by uPlot; beside each chart its numbers as a table.
import uPlot from "uplot";
import { h } from "./dom.js";
import { amount, moment, number, ticks, unitText } from "./words.js";

const seconds = (time) => new Date(time).getTime() / 1000;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** All series on one axis of times: each is `{label, points: [[time, value]]}`. */
export function aligned(series) {
  const times = [...new Set(series.flatMap(({ points }) => points.map(([time]) => seconds(time))))].sort((a, b) => a - b);
  const place = new Map(times.map((time, at) => [time, at]));
  const columns = series.map(({ points }) => {
    const values = new Array(times.length).fill(null);
    for (const [time, value] of points) values[place.get(seconds(time))] = value;
    return values;
  });
  return [times, ...columns];
}

function line({ label, look, unit }) {
  const lines = look === "bound"
    ? { stroke: "transparent", width: 0, points: { show: false } }
    : look === "dots"
      ? { stroke: colour("actual"), width: 0, paths: () => null, points: { show: true, size: 5, fill: colour("actual") } }
      : look === "forecast"
        ? { stroke: colour("forecast"), width: 2, dash: [5, 4], spanGaps: true, points: { show: true, size: 5, fill: colour("forecast") } }
        : look === "past"
          ? { stroke: colour("forecast"), width: 1.5, spanGaps: true, points: { show: false } }
          : { stroke: colour("actual"), width: 2, points: { show: false } };
  return { label, value: (_, value) => amount(value, unit), ...lines };
}

/** Marks of spans behind the lines, such as anomalies: `[{start, end, label}]`. */
function spans(marks) {
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = colour("mark");
    for (const { start, end } of marks) {
      const from = plot.valToPos(seconds(start), "x", true);
      const to = end ? plot.valToPos(seconds(end), "x", true) : bbox.left + bbox.width;
      const left = Math.max(from, bbox.left);
      const right = Math.min(Math.max(to, from + 2), bbox.left + bbox.width);
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
    ctx.restore();
  };
}

function options({ series, bands = [], marks = [], unit, zone, height, small }) {
  const axis = { stroke: colour("faint"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return {
    width: 300,
    height,
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), zone || "UTC"),
    legend: { show: !small, live: true },
    cursor: { show: !small, drag: { x: true, y: false } },
    padding: [8, 8, 0, 0],
    scales: { x: { time: true } },
    series: [{ label: "time", value: (_, time) => (time === null ? "–" : moment(time * 1000, zone)) }, ...series.map((each) => line({ unit, ...each }))],
    bands: bands.map((pair) => ({ series: pair, fill: colour("band") })),
    axes: [
      { ...axis, size: 28, space: 60, values: (_, times) => ticks(times, zone) },
      { ...axis, size: 44, values: (_, ticks) => ticks.map(number), label: small ? undefined : unitText(unit), labelSize: small ? 0 : 18, labelFont: "12px system-ui" },
    ],
    hooks: { drawAxes: [spans(marks)] },
  };
}

/** A chart that is as wide as its place. `summary` says in a sentence what it shows, for those who do not see it. */
export function chart(given) {
  const { series, height = 280, summary } = given;
  const own = { ...given, height };
  const place = h("div", { class: "chart", role: "img", "aria-label": summary, style: { minHeight: `${height}px` } });
  let plot;
  const fit = () => {
    if (!place.isConnected || !place.clientWidth) return;
    if (plot) plot.setSize({ width: place.clientWidth, height });
    else plot = new uPlot({ ...options(own), width: place.clientWidth }, aligned(series), place);
  };
  const watcher = new ResizeObserver(fit);
  watcher.observe(place);
  place.release = () => {
    watcher.disconnect();
    plot?.destroy();
  };
  return place;
}
