// One station: what comes and why, how good the last forecasts were, and what they are made from.
import { chart } from "./chart.js";
import { get, history, maybe, post } from "./client.js";
import { choice, feeds, marks, pathOf, targetOf } from "./data.js";
import { details, h, section, table } from "./dom.js";
import { explained, explanation } from "./explanation.js";
import { ahead, interval, often, series, summary } from "./forecast.js";
import { accuracy, outcomes } from "./outcomes.js";
import { nameOf, recording } from "./stations.js";
import { amount, capital, duration, moment, number, when } from "./words.js";

const DAYS = 7;

/** The page of `#/station/<feed>/<station>/<target>`. */
export async function station(feedName, id, targetName) {
  const feed = (await feeds()).find((each) => each.name === feedName);
  const own = feed?.stations.find((each) => each.id === id);
  if (!own) return { title: "Unknown station", content: [h("h1", {}, "There is no such station"), h("p", {}, h("a", { href: "#/" }, "All stations"))] };
  const target = targetOf(feed, targetName);
  const seen = await look(feed, own, target);
  const title = nameOf(own);
  return {
    title,
    content: [
      h("p", {}, h("a", { href: "#/", id: "back" }, "All stations")),
      h("h1", {}, `${capital(target.name)} at ${title}`),
      choice(feed, target, (each) => pathOf(feed.name, own.id, each.name)),
      recording(seen.readings),
      outlook(feed, own, target, seen),
      h("div", { class: "columns" }, explanation(feed, own, target, seen.explained), inputs(feed, own, seen)),
      accuracy(feed, target, seen.past),
      anomalies(own, seen.events),
    ],
  };
}

async function look(feed, own, target) {
  const ask = { feed: feed.name, target: target.name, station: own.id };
  const cadence = feed.window.cadence_seconds;
  const steps = Math.max(24, Math.min(500, Math.ceil((DAYS * 86_400) / cadence)));
  const [readings, forecast, anomalies] = await Promise.all([
    maybe(get("/v1/readings", { feed: feed.name, station: own.id, steps })),
    post("/v1/predict", ask).catch((error) => error),
    maybe(get("/v1/anomalies", { feed: feed.name, station: own.id })),
  ]);
  const from = new Date(new Date(readings?.now ?? Date.now()) - Math.max(DAYS * 86_400, steps * cadence) * 1000);
  const [past, reasons] = await Promise.all([
    maybe(history(feed.name, target.name, own.id, from.toISOString())),
    forecast instanceof Error ? null : explained(ask, forecast),
  ]);
  return {
    readings,
    explained: reasons,
    rows: readings?.stations[0] ?? null,
    prediction: forecast instanceof Error ? null : forecast,
    refusal: forecast instanceof Error ? forecast.message : null,
    events: anomalies?.events ?? [],
    past: past ?? [],
    now: readings?.now ?? new Date().toISOString(),
  };
}

function outlook(feed, own, target, { rows, prediction, refusal, events, past, now }) {
  const cadence = feed.window.cadence_seconds, zone = own.timezone;
  const base = series(rows, prediction, target.name);
  const parts = before(target, cadence, past);
  const bands = parts.length ? [[5, 6]] : [];
  return section(`The last ${DAYS} days and what comes`,
    refusal ? h("p", { class: "warn" }, refusal) : null,
    chart({
      series: [...base.series, ...parts], bands: [...base.bands, ...bands], marks: marks(events, now), unit: target.unit, zone,
      summary: summary(nameOf(own), target.name, rows, prediction, zone),
    }),
    prediction ? quantiles(prediction, cadence, now, zone) : null,
    rows ? details("readings", "The readings as a table", readingsTable(rows, zone)) : null);
}

/** What was forecast for the hours that are over, at the middle horizon, as series. */
function before(target, cadence, past) {
  const horizon = target.horizons[Math.floor((target.horizons.length - 1) / 2)];
  const shown = outcomes(past, horizon), early = `${ahead(horizon, cadence)} before`;
  const points = (column) => shown.map((each) => [each.time, each[column]]);
  if (!shown.length) return [];
  return [
    { label: `up to, ${early}`, look: "bound", points: points("upper") },
    { label: `from, ${early}`, look: "bound", points: points("lower") },
    { label: `forecast ${early}`, look: "past", points: points("forecast") },
  ];
}

function quantiles(prediction, cadence, now, zone) {
  const levels = Object.keys(prediction.forecasts[0]?.quantiles ?? {}).sort((a, b) => a - b);
  const heads = ["ahead", "time there", "forecast", `range, ${often(prediction.level)}`, ...levels.map((each) => `${number(100 * each)} % are below`), "by"];
  const rows = prediction.forecasts.map((each) => [
    `in ${ahead(each.horizon, cadence)}`,
    each.time ? when(each.time, now, zone) : "–",
    amount(each.value, prediction.unit),
    interval(each, prediction.unit),
    ...levels.map((level) => number(each.quantiles[level])),
    each.served_by ?? prediction.model.kind,
  ]);
  return table(`Forecasts from ${moment(prediction.origin, zone)}, in ${prediction.unit}, by release ${prediction.model.version}`, heads, rows);
}

function readingsTable(rows, zone) {
  const order = rows.times.map((_, at) => at).reverse();
  return table(`Readings by the clock of ${zone}`,
    ["time", ...rows.columns.map((each) => `${each.column}, ${each.unit}`)],
    order.map((at) => [moment(rows.times[at], zone), ...rows.columns.map((each) => number(each.values[at]))]));
}

function inputs(feed, own, { rows, prediction, now }) {
  const cadence = feed.window.cadence_seconds;
  const age = (steps) => (steps === null ? "never measured lately" : steps === 0 ? "measured in the newest step" : `${duration(steps * cadence)} old, carried forward`);
  const known = (rows?.columns ?? []).map((each) => [each.column, amount(each.values.findLast((value) => value !== null), each.unit), age(each.age)]);
  const silent = rows?.newest_reading ? duration((new Date(now) - new Date(rows.newest_reading)) / 1000) : null;
  const reasons = prediction?.reasons ?? [];
  return section("What it is made from",
    silent ? h("p", { class: rows.late ? "warn" : null }, `The newest reading is ${silent} old${rows.late ? ": the station is silent" : ""}.`) : null,
    known.length ? table("The newest value of each column", ["column", "value", "how old"], known) : null,
    prediction?.newest_step ? h("p", {}, fullness(prediction.newest_step, own.timezone)) : null,
    reasons.length
      ? [h("p", {}, "The inputs were not all measured and fresh:"), h("ul", {}, reasons.map((each) => h("li", {}, capital(each.detail))))]
      : prediction ? h("p", { class: "good" }, "All inputs are measured and fresh.") : null,
    prediction?.covariates ? h("p", {}, `Known ahead, from the ${prediction.covariates.source}: ${prediction.covariates.used ? "used" : "late, not used"}.`) : null);
}

const fullness = (step, zone) =>
  `The newest step, ${moment(step.time, zone)}, ${step.whole ? "is whole" : "is not over yet"}${step.usual ? ` (${number(step.readings)} of usually ${number(step.usual)} readings)` : ""}.`;

function anomalies(own, events) {
  if (!events.length) return section("Unlike its past", h("p", {}, "In the last 90 days this station was never unlike its own past."));
  const rows = events.toReversed().map((each) => [
    moment(each.start, own.timezone), each.end ? moment(each.end, own.timezone) : "lasts", number(each.severity), each.cause.replace("_", " "), each.detail,
  ]);
  return section("Unlike its past",
    table("When the station was unlike its own past; 3 is once in a thousand steps", ["from", "to", "surprise", "cause", "what"], rows));
}
