// The stations at a glance: for each what was measured, what comes, and whether something is odd.
import { alarms, attention } from "./alarms.js";
import { chart } from "./chart.js";
import { maybe } from "./client.js";
import { choice, feeds, glance, isOpen, linkTo, marks, pathOf, targetOf } from "./data.js";
import { details, h, table } from "./dom.js";
import { interval, nearestToDay, often, rows, series, summary } from "./forecast.js";
import { map } from "./map.js";
import { amount, capital, day, duration, moment, when } from "./words.js";

const MOST_CARDS = 60; // further stations are listed without a chart

/** The page; of one feed another target than its first may be chosen: `#/stations/<feed>/<target>`. */
export async function stations(feedName, targetName) {
  const [all, known] = await Promise.all([feeds(), alarms()]);
  if (!all.length) return nothing();
  const parts = await Promise.all(all.map((feed) =>
    (feed.retired ? [retired(feed)] : maybe(feedPart(feed, feed.name === feedName ? targetName : null)))));
  return { title: "Stations", content: [h("h1", {}, "Stations"), attention(known), parts] };
}

const nothing = () => ({
  title: "Stations",
  content: [
    h("h1", {}, "Nothing is forecast yet"),
    h("p", {}, "The platform has not released a model. ", h("code", {}, "make run"), " makes the first; this page shows it then."),
  ],
});

const retired = (feed) => h("section", {}, h("h2", {}, feed.name), h("p", {}, feed.retired));

async function feedPart(feed, targetName) {
  const target = targetOf(feed, targetName);
  const seen = await glance(feed, target);
  const cards = feed.stations.slice(0, MOST_CARDS).map((station) => card(feed, target, station, seen));
  const rest = feed.stations.slice(MOST_CARDS).map((station) =>
    h("li", {}, h("a", { href: pathOf(feed.name, station.id, target.name) }, nameOf(station))));
  return h("section", { class: "feed" },
    h("h2", {}, feed.name),
    h("p", { class: "about" }, feed.description),
    choice(feed, target, (each) => linkTo("stations", feed.name, each.name)),
    recording(seen.readings),
    map(places(feed, target, seen)),
    h("ul", { class: "cards" }, cards),
    rest.length ? details(`more-${feed.name}`, `${rest.length} more stations`, h("ul", {}, rest)) : null);
}

export const nameOf = (station) => (station.name && station.name !== station.id ? `${station.name} (${station.id})` : station.id);

/** A feed whose present is not ours says so. */
export function recording(readings) {
  if (!readings || Math.abs(Date.now() - new Date(readings.now)) < 2 * 86_400_000) return null;
  return h("p", { class: "note" }, `This feed has a time of its own: its present is ${day(readings.now, "UTC")}.`);
}

function stateOf(station, seen) {
  const readings = seen.byStation.get(station.id);
  if (seen.events.some((event) => event.station === station.id && isOpen(event))) return "odd";
  return !readings || readings.late ? "late" : "fine";
}

function places(feed, target, seen) {
  return feed.stations.map((station) => {
    const own = seen.byStation.get(station.id) ?? {};
    return {
      ...own,
      name: station.name || station.id,
      text: newestText(own, target) ?? "no reading",
      href: pathOf(feed.name, station.id, target.name),
      state: stateOf(station, seen),
    };
  });
}

function newestText(readings, target) {
  const own = readings.columns?.find((each) => each.column === target.name);
  const value = own?.values.findLast((each) => each !== null);
  return value === undefined ? null : amount(value, target.unit);
}

function card(feed, target, station, seen) {
  const readings = seen.byStation.get(station.id);
  const answer = seen.predictions.get(station.id) ?? {};
  const prediction = answer.prediction ?? null;
  const now = seen.readings?.now ?? prediction?.origin ?? new Date().toISOString();
  const events = seen.events.filter((event) => event.station === station.id);
  const cadence = feed.window.cadence_seconds;
  const name = nameOf(station);
  return h("li", { class: `card ${stateOf(station, seen)}` },
    h("h3", {}, h("a", { href: pathOf(feed.name, station.id, target.name), id: `card-${feed.name}-${station.id}` }, name)),
    newest(readings, target, now, station),
    prediction ? headline(prediction, cadence, now, station.timezone) : h("p", { class: "warn" }, answer.problem?.detail ?? "There is no forecast."),
    chart({
      ...series(readings, prediction, target.name),
      marks: marks(events, now),
      unit: target.unit,
      zone: station.timezone,
      height: 130,
      small: true,
      summary: summary(name, target.name, readings, prediction, station.timezone),
    }),
    notes(prediction, events, station),
    prediction
      ? details(`rows-${feed.name}-${station.id}`, "All forecasts",
          table(`Forecasts of ${target.name} at ${name}`, ["ahead", "time there", target.name, `range, ${often(prediction.level)}`],
            rows(prediction, cadence, now, station.timezone)))
      : null);
}

function newest(readings, target, now, station) {
  const text = readings ? newestText(readings, target) : null;
  if (!text) return h("p", { class: "newest" }, "No reading is known.");
  const age = (new Date(now) - new Date(readings.newest_reading)) / 1000;
  const late = readings.late ? h("strong", { class: "warn" }, ` silent for ${duration(age)}`) : null;
  return h("p", { class: "newest" }, `${capital(target.name)} ${text}, ${when(readings.newest_reading, now, station.timezone)}`, late);
}

function headline(prediction, cadence, now, zone) {
  const each = nearestToDay(prediction, cadence);
  return h("p", { class: "headline" },
    h("span", { class: "big" }, amount(each.value, prediction.unit)),
    h("span", {}, `${capital(when(each.time, now, zone))}; ${interval(each, prediction.unit)}, ${often(prediction.level)}`));
}

function notes(prediction, events, station) {
  const odd = events.filter(isOpen).map((event) =>
    h("li", {}, `Unlike its past since ${moment(event.start, station.timezone)}: ${event.detail}`));
  const reasons = (prediction?.reasons ?? []).map((reason) => h("li", {}, capital(reason.detail)));
  return odd.length + reasons.length ? h("ul", { class: "notes" }, odd, reasons) : null;
}
