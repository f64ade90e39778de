// What people should know now, and what was over lately.
import { get, maybe } from "./client.js";
import { h, section, table } from "./dom.js";
import { fullMoment } from "./words.js";

const NAMES = {
  feed_silent: "readings do not come", station_silent: "a station is silent", drift_hot: "forecasts have become worse",
  retrain_useless: "a new model did not help", release_refused: "no new model was better", release_withdrawn: "a model was withdrawn",
  release_unusable: "a model cannot be loaded", check_failed: "a check failed", disk_full: "the disk is nearly full",
  platform_silent: "the platform does not answer", server_silent: "the server does not answer",
};

export const alarms = () => maybe(get("/v1/alarms"));

/** What lasts; null where all is well. */
export function attention(known) {
  if (!known?.open.length) return null;
  return h("section", { class: "attention", "aria-label": "What needs attention" },
    h("h2", {}, "Needs attention"),
    h("ul", {}, known.open.map((each) =>
      h("li", {}, h("strong", {}, `${NAMES[each.condition] ?? each.condition}: `), `${each.sentence} (since ${fullMoment(each.opened_at)} UTC)`))));
}

/** All of it, newest first. */
export function log(known) {
  if (!known) return null;
  const all = [...known.open, ...known.past];
  return section("Alarms", all.length
    ? table("What people were to know", ["began, UTC", "what", "how it began", "over, UTC"], all.map((each) =>
      [fullMoment(each.opened_at), NAMES[each.condition] ?? each.condition, each.sentence, each.over_at ? fullMoment(each.over_at) : "lasts"]))
    : h("p", {}, "There was none yet."));
}
