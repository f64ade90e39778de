// Past forecasts beside what was measured.
import { h, section, table } from "./dom.js";
import { ahead } from "./forecast.js";
import { amount, count, percent } from "./words.js";

/** The forecasts of one horizon, one a target time: the newest that was asked for. */
export function outcomes(past, horizon) {
  const byTime = new Map(past.filter((each) => each.horizon === horizon).map((each) => [each.time, each]));
  return [...byTime.values()];
}

const mean = (values) => {
  const known = values.filter(Number.isFinite);
  return known.length ? known.reduce((sum, each) => sum + each, 0) / known.length : null;
};

const miss = (rows, column) => mean(rows.map((each) => (each[column] === null ? NaN : Math.abs(each.actual - each[column]))));

/** How good they were, beside what no model is needed for. */
export function accuracy(feed, target, past) {
  const horizons = [...new Set(past.map((each) => each.horizon))].filter((each) => each > 0).sort((a, b) => a - b);
  const title = "How good the last forecasts were";
  if (!horizons.length)
    return section(title, h("p", {}, "No forecast of the last days has met its outcome yet, or the platform has not exported it."));
  const rows = horizons.map((horizon) => {
    const own = past.filter((each) => each.horizon === horizon);
    return [
      `${ahead(horizon, feed.window.cadence_seconds)} ahead`, count(own.length, "forecast"),
      amount(miss(own, "forecast"), target.unit), amount(miss(own, "persistence"), target.unit), amount(miss(own, "seasonal_naive"), target.unit),
      percent(mean(own.map((each) => (each.inside === null ? NaN : Number(each.inside))))),
    ];
  });
  return section(title,
    table("Mean miss, beside saying that nothing changes (persistence) and that it is as it was a season ago (seasonal naive)",
      ["", "with outcome", "forecast", "persistence", "seasonal naive", "inside the range"], rows));
}
