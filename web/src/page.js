// The page: which part is shown, and that it stays as a person left it when it is drawn again.
import "uplot/dist/uPlot.min.css";
import "./page.css";
import { h } from "./dom.js";
import { follow } from "./live.js";
import { loop } from "./loop.js";
import { quality } from "./quality.js";
import { station } from "./station.js";
import { stations } from "./stations.js";

const ROUTES = { "": stations, stations, station, loop, data: quality };
const content = document.querySelector("#content"), status = document.querySelector("#status");
let shown = null, turn = 0, isLive = false, drawn = null;

const route = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

/** What a person has opened, and where the keyboard is. */
function remember() {
  const open = [...content.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key);
  return { open, focus: document.activeElement?.id };
}

function restore({ open, focus }) {
  for (const each of content.querySelectorAll("details[data-key]")) each.open = open.includes(each.dataset.key);
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
}

/** To what a person has just chosen, where the new page has it, too; else to the beginning. */
function move(focus) {
  const same = focus ? document.getElementById(focus) : null;
  if (same && content.contains(same)) same.focus({ preventScroll: true });
  else content.focus();
}

function replace(parts) {
  for (const each of content.querySelectorAll(".chart")) each.release?.();
  content.replaceChildren(...parts.flat(Infinity).filter(Boolean));
}

const failure = (error) => [
  h("h1", {}, "This cannot be shown now"),
  h("p", { class: "warn" }, error.message || "The server did not answer."),
  error.status === 401 ? h("p", {}, "Load the page again to enter a token.") : null,
];

function mark(name) {
  const own = ["station", "stations"].includes(name) ? "" : name;
  for (const link of document.querySelectorAll("nav a")) {
    const isOwn = link.getAttribute("href") === `#/${own}`;
    if (isOwn) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function draw() {
  const [name, ...rest] = route(), key = location.hash, mine = ++turn;
  const isSame = key === shown, memory = remember();
  let page;
  try {
    page = await (ROUTES[name] ?? stations)(...rest);
  } catch (error) {
    page = { title: "AeroCast", content: failure(error) };
  }
  if (mine !== turn) return; // a newer one is under way
  replace(page.content);
  document.title = page.title === "AeroCast" ? page.title : `${page.title} – AeroCast`;
  mark(ROUTES[name] ? name : "");
  if (isSame) restore(memory);
  else if (shown !== null) move(memory.focus);
  shown = key;
  drawn = new Date().toLocaleTimeString("en-GB");
  say();
}

function say() {
  if (drawn) status.textContent = `As of ${drawn}, ${isLive ? "live" : "looked up each 30 s"}`;
}

addEventListener("hashchange", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
follow(draw, (live) => {
  isLive = live;
  say();
});
draw();
