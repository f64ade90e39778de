// Whether readings come, and what of them was not believed.
import { get, maybe } from "./client.js";
import { feeds, isOpen, pathOf } from "./data.js";
import { details, h, section, table } from "./dom.js";
import { nameOf, recording } from "./stations.js";
import { count, duration, fullMoment, moment, number } from "./words.js";

const RULES = {
  range: "outside its physical range", step: "an impossible jump", sensor_fault: "from a faulty sensor", rejected: "rejected by its sender",
  unparseable: "not readable", malformed: "a malformed line", unknown_station: "of an unknown station", future: "from the future", early: "too old",
};

/** The page of `#/data`. */
export async function quality() {
  const [all, health] = await Promise.all([feeds(), get("/health")]);
  const parts = await Promise.all(all.filter((feed) => !feed.retired).map((feed) => feedPart(feed, health)));
  return { title: "Data", content: [h("h1", {}, "Readings and their quality"), server(health), parts] };
}

function server(health) {
  const files = health.left_out.map((each) => h("li", {}, h("code", {}, each.file), `: ${each.reason}`, each.since ? ` (since ${fullMoment(each.since)} UTC)` : ""));
  const errors = health.errors.map((each) => h("li", {}, each));
  const state = { ok: "All is well: the server has the newest of everything.", degraded: "The server answers, but something is wrong.", starting: "The server is starting." };
  return section("The server",
    h("p", { class: health.status === "ok" ? "good" : "warn" }, state[health.status] ?? "Nothing is released yet."),
    files.length + errors.length ? h("ul", { class: "warn" }, errors, files) : null);
}

async function feedPart(feed, health) {
  const [readings, quarantine, anomalies, state] = await Promise.all([
    maybe(get("/v1/readings", { feed: feed.name, steps: 1 })),
    maybe(get("/v1/quarantine", { feed: feed.name })),
    maybe(get("/v1/anomalies", { feed: feed.name })),
    maybe(get("/v1/loop", { feed: feed.name })),
  ]);
  return section(feed.name,
    recording(readings),
    verdict(feed, readings, health),
    freshness(feed, readings),
    faults(feed, state?.faults ?? []),
    odd(feed, anomalies?.events ?? []),
    refused(feed, quarantine));
}

/** A sentence: fresh, silent, or failing. */
function verdict(feed, readings, health) {
  const errors = health.releases.filter((each) => each.feed === feed.name).flatMap((each) => each.errors);
  if (errors.length) return h("p", { class: "warn" }, "Failing: ", [...new Set(errors)].join("; "));
  if (!readings) return h("p", { class: "warn" }, "What has come lately cannot be read now.");
  const late = readings.stations.filter((each) => each.late).length, all = readings.stations.length;
  if (!late) return h("p", { class: "good" }, `Fresh: ${all === 1 ? "the station has" : `all ${all} stations have`} sent readings within ${duration(readings.freshness_seconds)}.`);
  return h("p", { class: "warn" }, late === all ? "Silent: no station has sent anything lately." : `${count(late, "station")} of ${all} silent for more than ${duration(readings.freshness_seconds)}.`);
}

function freshness(feed, readings) {
  if (!readings) return null;
  const names = new Map(feed.stations.map((each) => [each.id, each]));
  const rows = readings.stations.map((each) => {
    const own = names.get(each.station) ?? { id: each.station, timezone: "UTC" };
    const age = each.newest_reading ? duration((new Date(readings.now) - new Date(each.newest_reading)) / 1000) : "–";
    const old = each.columns.filter((column) => column.age !== 0).map((column) => `${column.column}: ${column.age === null ? "nothing" : duration(column.age * readings.cadence_seconds)}`);
    return [
      h("a", { href: pathOf(feed.name, each.station, feed.targets[0].name) }, nameOf(own)),
      each.newest_reading ? moment(each.newest_reading, own.timezone) : "never", age,
      h("span", { class: each.late ? "warn" : "good" }, each.late ? "silent" : "fresh"), old.join(", ") || "all measured",
    ];
  });
  return table("Newest reading of each station, by its own clock", ["station", "newest", "age", "state", "columns that are older"], rows);
}

function faults(feed, all) {
  if (!all.length) return null;
  const rows = all.map((each) => [each.station, each.column, each.kind.replace("_", " "), `${fullMoment(each.start)} UTC`, each.end ? `${fullMoment(each.end)} UTC` : h("span", { class: "warn" }, "lasts"), each.detail]);
  return details(`faults-${feed.name}`, `Faulty sensors (${all.filter((each) => !each.end).length} last, ${all.length} known)`,
    table("Sensors that could not be believed; their values are set aside", ["station", "column", "kind", "from", "to", "why"], rows));
}

function odd(feed, events) {
  if (!events.length) return null;
  const lasting = events.filter(isOpen).length;
  const rows = events.toReversed().map((each) => [each.station, `${fullMoment(each.start)} UTC`, each.end ? `${fullMoment(each.end)} UTC` : h("span", { class: "warn" }, "lasts"), number(each.severity), each.cause.replace("_", " "), each.detail]);
  return details(`odd-${feed.name}`, `Unlike their past: ${count(events.length, "event")} in 90 days, ${lasting} last`,
    table("Times in which a station was unlike its own past; a surprise of 3 is once in a thousand steps", ["station", "from", "to", "surprise", "cause", "what"], rows));
}

function refused(feed, quarantine) {
  if (!quarantine) return h("p", { class: "warn" }, "What was not believed cannot be read now.");
  if (!quarantine.at) return h("p", {}, "The platform has not counted yet what it did not believe.");
  if (!quarantine.counts.length) return h("p", { class: "good" }, "Nothing is in quarantine.");
  const total = quarantine.counts.reduce((sum, each) => sum + each.count, 0);
  const counts = quarantine.counts.map((each) => [each.station ?? "–", each.column ?? "whole reading", RULES[each.rule] ?? each.rule, number(each.count), each.newest ? `${fullMoment(each.newest)} UTC` : "–"]);
  const newest = quarantine.newest.map((each) => [each.station ?? "–", each.time ? `${fullMoment(each.time)} UTC` : "–", each.column ?? "whole reading", each.value ?? "–", each.reason]);
  return details(`quarantine-${feed.name}`, `Quarantine: ${number(total)} values or readings not believed in ${quarantine.months.join(", ")}`,
    table("How many, by rule", ["station", "column", "rule", "how many", "newest"], counts),
    table("The newest, and why", ["station", "time", "column", "value as sent", "why"], newest));
}
