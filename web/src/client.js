// Asks the server; a refusal becomes an error with the sentence of its problem document.

export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Where the server wants a token, the browser asks for it when the page is opened, and sends it each time.
async function send(path, options) {
  const response = await fetch(path, { ...options, headers: { accept: "application/json", ...options.headers } });
  const body = await response.json().catch(() => null);
  // /health answers 503 with its report while nothing serves.
  if (!response.ok && !body?.releases) throw new Refusal(response.status, body?.detail ?? `status ${response.status}`);
  return body;
}

const query = (parameters) => {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

export const get = (path, parameters = {}) => send(path + query(parameters), {});

export const post = (path, body) =>
  send(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** What was answered, or null for a refusal: of what a page can do without. */
export const maybe = (promise) =>
  promise.catch((error) => (error instanceof Refusal && error.status !== 401 ? null : Promise.reject(error)));

const MOST_ITEMS = 128;

/** The newest forecast of each station by its id, or the problem in its place. */
export async function forecasts(feed, target, stations) {
  const found = new Map();
  for (let at = 0; at < stations.length; at += MOST_ITEMS) {
    const part = stations.slice(at, at + MOST_ITEMS);
    const answers = await post("/v1/predict/batch", part.map((station) => ({ feed, target, station })));
    part.forEach((station, place) => found.set(station, answers[place]));
  }
  return found;
}

const MOST_PAGES = 6;

/** Past forecasts beside their outcomes, from an instant on. */
export async function history(feed, target, station, from) {
  const rows = [];
  let cursor;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const path = `/v1/predictions/${encodeURIComponent(station)}/history`;
    const answer = await get(path, { feed, target, from, limit: 1000, cursor });
    rows.push(...answer.forecasts);
    cursor = answer.next;
    if (!cursor) break;
  }
  return rows;
}
