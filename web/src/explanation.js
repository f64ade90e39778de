// Why a forecast is what it is: what each group of inputs adds to the mean forecast for typical rows.
import { post } from "./client.js";
import { h, section } from "./dom.js";
import { ahead, nearestToDay } from "./forecast.js";
import { amount, signed, unitText } from "./words.js";

let chosen = null; // the horizon that a person looks at, over refreshes

const known = new Map(); // the newest of each station: explaining takes the server hundreds of forecasts

/** The explanation of a forecast, or why there is none; asked for once. */
export async function explained(ask, forecast) {
  const key = JSON.stringify(ask), from = `${forecast.origin} ${forecast.model.version}`;
  if (known.get(key)?.from !== from) known.set(key, { from, answer: await post("/v1/explain", ask).catch((error) => error) });
  return known.get(key).answer;
}

export function explanation(feed, own, target, explained) {
  const title = "Why this forecast";
  if (!explained) return section(title, h("p", {}, "There is no forecast to explain."));
  if (explained instanceof Error) return section(title, h("p", {}, explained.message));
  const cadence = feed.window.cadence_seconds;
  const all = explained.explanations;
  const first = nearestToDay(explained, cadence).horizon;
  const horizon = all.some((each) => each.horizon === chosen) ? chosen : first;
  const place = h("div", {});
  const draw = (wanted) => place.replaceChildren(...body(all.find((each) => each.horizon === wanted), explained, cadence));
  const select = h("select", { id: "horizon", onchange: (event) => draw((chosen = Number(event.target.value))) },
    all.map((each) => h("option", { value: each.horizon, selected: each.horizon === horizon }, `in ${ahead(each.horizon, cadence)}`)));
  draw(horizon);
  return section(title, h("p", {}, h("label", { for: "horizon" }, "Forecast "), select), place);
}

function body(each, explained, cadence) {
  const unit = explained.unit;
  const parts = each.parts.filter((part) => Math.abs(part.value) >= 0.005);
  const most = Math.max(...parts.map((part) => Math.abs(part.value)), 1e-9);
  const value = explained.forecasts.find((one) => one.horizon === each.horizon)?.value;
  return [
    h("p", {}, `From the usual ${amount(each.base, unit)} to ${amount(value, unit)} in ${ahead(each.horizon, cadence)}:`),
    h("ul", { class: "parts" }, parts.map((part) =>
      h("li", {}, h("span", {}, part.group), bar(part.value / most), h("b", {}, `${signed(part.value)} ${unitText(unit)}`)))),
    parts.length ? null : h("p", {}, "No group of inputs moves it."),
  ].filter(Boolean);
}

const bar = (share) =>
  h("span", { class: "bar", "aria-hidden": "true" },
    h("i", { class: share > 0 ? "more" : "less", style: { left: `${50 + Math.min(0, share) * 50}%`, width: `${Math.abs(share) * 50}%` } }));
