// Says when something has changed: by the server's events, and where there are none by the clock.

const POLL_MS = 30_000, SETTLE_MS = 400, RETRY_MS = 60_000;
const KINDS = ["forecast", "outcome", "drift", "retrain", "promotion", "anomaly", "alert", "reset"];

/** Calls `changed` soon after each event, or each 30 s; `told(live)` says which of them. */
export function follow(changed, told) {
  let timer, source;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(changed, SETTLE_MS);
  };
  const listen = () => {
    source?.close();
    source = new EventSource("/v1/events");
    source.addEventListener("open", () => told(true));
    source.addEventListener("error", () => {
      told(false);
      // Closed for good: no such path, or no room. A lost connection is taken up again by the browser itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
    });
    // Looking at a station makes its newest forecast: that alone is no reason to look again.
    for (const kind of KINDS.slice(1)) source.addEventListener(kind, soon);
  };
  listen();
  setInterval(() => {
    if (!document.hidden) changed();
  }, POLL_MS);
  document.addEventListener("visibilitychange", () => document.hidden || changed());
}
