// What a forecast says, in sentences and rows.
import { amount, count, duration, moment, number, percent, unitText, when } from "./words.js";

export const ahead = (horizon, cadence) => duration(horizon * cadence);

/** The horizon that lies nearest to a day ahead: what people ask for first. */
export function nearestToDay(prediction, cadence) {
  const distance = ({ horizon }) => Math.abs(horizon * cadence - 86_400);
  return prediction.forecasts.reduce((best, each) => (distance(each) < distance(best) ? each : best));
}

/** `23 to 34 °F` */
export const interval = (each, unit) => `${number(each.lower)} to ${amount(each.upper, unit)}`;

export const often = (level) => {
  const parts = [[0.5, "half of the time"], [0.8, "4 of 5 times"], [0.9, "9 of 10 times"], [0.95, "19 of 20 times"], [0.99, "99 of 100 times"]];
  return parts.find(([each]) => Math.abs(each - level) < 0.004)?.[1] ?? `with ${percent(level)} probability`;
};

export const rows = (prediction, cadence, now, zone) =>
  prediction.forecasts.map((each) => [
    `in ${ahead(each.horizon, cadence)}`,
    each.time ? when(each.time, now, zone) : "–",
    amount(each.value, prediction.unit),
    interval(each, prediction.unit),
  ]);

/** Measured and forecast as series of a chart, and which pairs of them are an interval. */
export function series(readings, prediction, column) {
  const own = readings?.columns.find((each) => each.column === column);
  const measured = own ? readings.times.map((time, at) => [time, own.values[at]]) : [];
  const steps = prediction ? prediction.forecasts.filter((each) => each.time) : [];
  // The lines meet: a forecast begins where the readings end.
  const last = measured.findLast(([, value]) => value !== null);
  const from = (pick) => [...(last && steps.length ? [last] : []), ...steps.map((each) => [each.time, pick(each)])];
  return {
    series: [
      { label: "up to", look: "bound", points: from((each) => each.upper) },
      { label: "from", look: "bound", points: from((each) => each.lower) },
      { label: "measured", look: "measured", points: measured },
      { label: "forecast", look: "forecast", points: from((each) => each.value) },
    ],
    bands: [[1, 2]],
  };
}

/** A chart's content in a sentence. */
export function summary(name, column, readings, prediction, zone) {
  const own = readings?.columns.find((each) => each.column === column);
  const values = (own?.values ?? []).filter((each) => each !== null);
  const parts = [`${column} at ${name}`];
  if (values.length)
    parts.push(`${count(values.length, "reading")} from ${number(Math.min(...values))} to ${amount(Math.max(...values), own.unit)}`);
  for (const each of prediction?.forecasts ?? [])
    if (each.time) parts.push(`${moment(each.time, zone)}: ${amount(each.value, prediction.unit)}, ${interval(each, prediction.unit)}`);
  return parts.join("; ");
}

export const unitOf = (readings, column) => unitText(readings?.columns.find((each) => each.column === column)?.unit ?? "");
