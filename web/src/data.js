// What several pages show, as the server has it now.
import { forecasts, get, maybe } from "./client.js";
import { h } from "./dom.js";

export const feeds = () => get("/v1/feeds");

/** Everything that is known of a feed at a glance: readings, newest forecasts of a target, anomalies. */
export async function glance(feed, target) {
  const ids = feed.stations.map((each) => each.id);
  const [readings, predictions, anomalies] = await Promise.all([
    maybe(get("/v1/readings", { feed: feed.name, steps: 48 })),
    maybe(forecasts(feed.name, target.name, ids)),
    maybe(get("/v1/anomalies", { feed: feed.name })),
  ]);
  const byStation = new Map((readings?.stations ?? []).map((each) => [each.station, each]));
  return { readings, byStation, predictions: predictions ?? new Map(), events: anomalies?.events ?? [] };
}

/** Spans of a chart; what lasts is marked up to now. */
export const marks = (events, now) => events.map((each) => ({ start: each.start, end: each.end ?? now }));

export const isOpen = (event) => event.end === null;

export const linkTo = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

export const pathOf = (feed, station, target) => linkTo("station", feed, station, target);

/** The target of that name, else the feed's first. */
export const targetOf = (feed, name) => feed.targets.find((each) => each.name === name) ?? feed.targets[0];

/** Links to the same with another target; null where there is but one. */
export function choice(feed, target, href) {
  if (feed.targets.length < 2) return null;
  return h("ul", { class: "choice", "aria-label": `What is forecast of ${feed.name}` }, feed.targets.map((each) =>
    h("li", {}, h("a", { id: `choice-${feed.name}-${each.name}`, href: href(each), "aria-current": each === target ? "page" : null }, each.name))));
}
