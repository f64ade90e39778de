// What serves, whether the world has changed, and why models were retrained or were not.
import { alarms, log } from "./alarms.js";
import { get, maybe } from "./client.js";
import { feeds } from "./data.js";
import { details, h, section, table } from "./dom.js";
import { ahead } from "./forecast.js";
import { amount, capital, count, duration, fullMoment, number, percent, signed } from "./words.js";

const VERDICTS = { ok: "as the season suggests", sensor_fault: "a sensor is faulty", covariate_shift: "the weather is unusual, forecasts hold", concept_drift: "forecasts have become worse" };

/** The page of `#/loop`. */
export async function loop() {
  const [found, known] = await Promise.all([feeds(), alarms()]);
  const all = found.filter((feed) => !feed.retired);
  const parts = await Promise.all(all.map(feedPart));
  return {
    title: "Models",
    content: [
      h("h1", {}, "Models and how they are kept good"),
      h("p", {}, "When forecasts have become worse than season and weather allow, the platform trains again, and lets a new model serve only if it is better on the same past hours."),
      parts.length ? parts : h("p", {}, "Nothing is served yet."),
      log(known),
    ],
  };
}

async function feedPart(feed) {
  const [state, models, checks] = await Promise.all([
    maybe(get("/v1/loop", { feed: feed.name })),
    maybe(get("/v1/models", { feed: feed.name })),
    Promise.all(feed.targets.map((each) => maybe(get("/v1/routine-retrain-check", { feed: feed.name, target: each.name })))),
  ]);
  if (!state) return section(feed.name, h("p", { class: "warn" }, "What the loop knows of this feed cannot be read now."));
  return section(feed.name,
    h("p", {}, state.judged_at ? `Last looked for drift at ${fullMoment(state.judged_at)} UTC, by the feed's own clock.` : "Drift was not looked for yet."),
    state.targets.map((each, at) => targetPart(feed, each, models?.find((own) => own.target === each.target), checks[at], state)));
}

function targetPart(feed, own, models, check, state) {
  const id = `${feed.name}-${own.target}`;
  return h("article", { "aria-labelledby": id },
    h("h3", { id }, `${capital(own.target)} `, badge(own)),
    h("dl", { class: "facts" }, facts(own, models, check)),
    drift(feed, own),
    decisions(id, own),
    scores(feed, id, own, models),
    versions(id, own, models),
    rollback(id, feed, own, state));
}

function badge(own) {
  if (own.hold) return h("span", { class: "badge warn" }, "held by a person");
  return own.hot ? h("span", { class: "badge bad" }, "drift lasts") : h("span", { class: "badge good" }, "no drift");
}

function facts(own, models, check) {
  const serving = models?.releases.find((each) => each.serving);
  const pair = (name, value) => value && [h("dt", {}, name), h("dd", {}, value)];
  const age = check && `${duration(check.age_seconds)}${check.limit_seconds ? `, trained again after ${duration(check.limit_seconds)} at the latest` : ""}`;
  return [
    pair("serves", `${own.version}${serving?.kind ? ` (${kinds(serving)})` : ""}, since ${fullMoment(own.promoted_at)} UTC`),
    pair("trained to", `${fullMoment(own.training_end)} UTC`),
    pair("age", age),
    pair("retraining", own.retrain ? capital(own.retrain) : "The platform's sensor has not looked yet."),
    pair("newest retrain", own.run?.run_id && newestRun(own.run)),
    own.shadows.map((each) => pair("beside it", shadow(each))),
    pair("asked for", own.request && `A retrain is asked for (${own.request}); the sensor takes it up.`),
    pair("hold", own.hold && `Since ${fullMoment(own.hold.since)} UTC, ${own.hold.until ? `until ${fullMoment(own.hold.until)} UTC` : "until it is lifted"}${own.hold.reason ? `: ${own.hold.reason}` : ""}`),
    pair("drift", `${own.hot ? "Hot" : "Cool"}${own.since ? ` since ${fullMoment(own.since)} UTC` : ""}; became hot ${count(own.edges, "time")} so far.`),
  ];
}

const OUTCOMES = { running: "is under way", promoted: "led to what serves", refused: "led to nothing better", failed: "failed" };

const newestRun = (run) =>
  `${run.started ? `Of ${fullMoment(run.started)} UTC, ` : ""}${OUTCOMES[run.outcome] ?? "was started"}; why: ${run.reason || "not said"} (run ${run.run_id.slice(0, 8)})`;

/** A challenger that is asked the same without being heard. */
const shadow = (own) => own.pairs
  ? `${own.challenger} errs ${percent(Math.abs(own.gain))} ${own.gain < 0 ? "more" : "less"} than ${own.champion} on ${number(own.pairs)} outcomes${own.p_value === null ? "" : `; that is chance with probability ${number(own.p_value)}`}`
  : `${own.challenger} is asked the same, and has met no outcome yet`;

const kinds = (release) => [...new Set([...Object.values(release.kinds ?? {}), ...Object.values(release.served_by ?? {})])].join(", ") || release.kind;

function drift(feed, own) {
  if (!own.stations.length) return h("p", {}, "No forecast has met an outcome yet, so drift cannot be judged.");
  const names = new Map(feed.stations.map((each) => [each.id, each.name || each.id]));
  const rows = own.stations.map((each) => [
    names.get(each.station) ?? each.station, VERDICTS[each.verdict] ?? each.verdict,
    amount(each.rmse, own.unit), amount(each.expected_rmse, own.unit), number(each.outcomes), each.evidence.join("; ") || "–",
  ]);
  return table(`${capital(own.target)}: is it as the season suggests?`,
    ["station", "judgement", "error lately (RMSE)", "expected", "outcomes", "evidence"], rows);
}

function decisions(id, own) {
  if (!own.decisions.length) return null;
  const rows = own.decisions.map((each) => [
    `${fullMoment(each.decided_at)} UTC`, capital(each.verdict), each.version ?? "–",
    each.skill === null ? "–" : signed(each.skill), each.gain === null ? "–" : percent(each.gain),
    each.p_value === null ? "–" : each.p_value.toPrecision(2), each.test_rows === null ? "–" : number(each.test_rows),
    each.asked_by ?? "–", each.reason,
  ]);
  return details(`decisions-${id}`, `Decisions, newest first (${own.decisions.length})`,
    table("What was decided and on what proof; skill is the error saved over the better of persistence and seasonal naive",
      ["when", "decision", "serves afterwards", "skill", "loss saved", "chance of luck (p)", "rows that judged", "trained because", "reason"], rows));
}

function scores(feed, id, own, models) {
  const serving = models?.releases.find((each) => each.serving);
  if (!serving?.metrics) return null;
  const horizons = Object.entries(serving.metrics.horizons);
  const rows = horizons.map(([horizon, each]) => [
    `${ahead(Number(horizon), feed.window.cadence_seconds)} ahead`, serving.served_by?.[horizon] ?? serving.kinds?.[horizon] ?? serving.kind,
    amount(each.rmse, own.unit), amount(each.mae, own.unit), signed(each.skill), percent(each.coverage),
  ]);
  return details(`scores-${id}`, "How good the serving model was on hours that it had not seen",
    table("Skill: 0 is the better of persistence and seasonal naive, 1 is perfect; below 0 is worse than they are",
      ["", "by", "RMSE", "mean miss (MAE)", "skill over the baselines", "inside the range"], rows));
}

function versions(id, own, models) {
  if (!models) return null;
  const rows = models.releases.map((each) => [
    each.version, each.serving ? "serves" : each.version === own.previous ? "served before" : "",
    each.error ?? kinds(each), each.lineage ? `${fullMoment(each.lineage.training_end)} UTC` : "–",
    each.metrics ? signed(each.metrics.overall.skill) : "–", each.lineage?.reason ?? "–",
  ]);
  return details(`versions-${id}`, `Versions (${models.total})`,
    table("Releases, newest first", ["version", "", "kind", "trained to", "skill over the baselines", "made because"], rows));
}

function rollback(id, feed, own) {
  const version = own.previous ?? "<version>";
  const config = JSON.stringify({ ops: { [`${feed.name}__${own.target}__champion`]: { config: { release: version } } } });
  return details(`rollback-${id}`, "Go back to an earlier version",
    h("p", {}, "A rollback is a run of the platform, with its reason in the history. It holds: no retrain replaces it until it is lifted. On the platform's machine:"),
    h("pre", {}, h("code", {}, `.venv/bin/aerocast rollback --feed ${feed.name} --target ${own.target} --to ${version}\n.venv/bin/aerocast lift --feed ${feed.name} --target ${own.target}`)),
    h("p", {}, `or in Dagster's page the job ${feed.name}_${own.target}_rollback with the configuration`),
    h("pre", {}, h("code", {}, config)));
}
