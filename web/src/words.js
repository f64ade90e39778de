// Numbers, times and durations as people read them.

const UNITS = { degF: "°F", degC: "°C", percent: "%", "ug/m3": "µg/m³", "ug/m^3": "µg/m³" };
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const DAY = 86_400_000;

export const unitText = (unit) => UNITS[unit] ?? unit;

const digits = (value) =>
  Math.abs(value) >= 1 || value === 0 ? { maximumFractionDigits: Math.abs(value) >= 1000 ? 0 : 1 } : { maximumSignificantDigits: 2 };

export const number = (value) =>
  value === null || value === undefined ? "–"
    : value.toLocaleString("en", digits(value));

export const amount = (value, unit) => (value === null || value === undefined ? "–" : `${number(value)} ${unitText(unit)}`);

/** A difference, always with its sign. */
export const signed = (value) =>
  (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toLocaleString("en", { maximumFractionDigits: Math.abs(value) >= 10 ? 1 : 2 });

export const percent = (share) =>
  share === null || share === undefined ? "–" : `${(100 * share).toLocaleString("en", { maximumFractionDigits: Math.abs(share) < 0.1 ? 1 : 0 })} %`;

export const count = (many, noun) => `${many.toLocaleString("en")} ${noun}${many === 1 ? "" : "s"}`;

/** Such as `3 hours` or `2 days`, rounded. */
export function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 1) return "less than a second";
  const [name, length] = STEPS.find(([, each]) => size >= each) ?? STEPS.at(-1);
  return count(Math.round(size / length), name);
}

const formats = new Map();

function format(zone, parts) {
  const key = zone + JSON.stringify(parts);
  if (!formats.has(key)) {
    let formatter;
    try {
      formatter = new Intl.DateTimeFormat("en-GB", { timeZone: zone || "UTC", ...parts });
    } catch {
      formatter = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...parts });
    }
    formats.set(key, formatter);
  }
  return formats.get(key);
}

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const DATE = { weekday: "short", day: "numeric", month: "short" };

/** An instant by the station's own clock, such as `Tue 31 Dec, 18:00`. */
export const moment = (time, zone) => (time ? format(zone, { ...DATE, ...CLOCK }).format(new Date(time)) : "–");

/** Marks of an axis of time: the date where a day begins, else the clock's time. */
export function ticks(times, zone) {
  const date = format(zone, { day: "numeric", month: "short" }), clock = format(zone, CLOCK);
  let before = null;
  return times.map((time) => {
    const at = new Date(time * 1000), own = date.format(at), isNew = own !== before;
    const isMidnight = clock.format(at) === "00:00";
    before = own;
    return isMidnight ? own : isNew && times.length < 4 ? `${own} ${clock.format(at)}` : clock.format(at);
  });
}

/** With its year, where that is not plain. */
export const day = (time, zone) => (time ? format(zone, { day: "numeric", month: "short", year: "numeric" }).format(new Date(time)) : "–");

export const fullMoment = (time, zone) => (time ? `${day(time, zone)}, ${format(zone, CLOCK).format(new Date(time))}` : "–");

/** `today 18:00`, `tomorrow 09:00` or the date, seen from `now` by the station's clock. */
export function when(time, now, zone) {
  const date = format(zone, { year: "numeric", month: "2-digit", day: "2-digit" });
  const own = date.format(new Date(time));
  const clock = format(zone, CLOCK).format(new Date(time));
  if (own === date.format(new Date(now))) return `today ${clock}`;
  if (own === date.format(new Date(new Date(now).getTime() + DAY))) return `tomorrow ${clock}`;
  return moment(time, zone);
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** `a, b and c` */
export const list = (words) =>
  words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
