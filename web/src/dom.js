// Elements from data. Texts become text nodes: nothing that the API says is read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "circle", "line", "text", "title", "g", "rect", "path"]);

/** An element; attributes that are null are left out, `on...` are listeners, children may be nested lists. */
export function h(tag, attributes = {}, ...children) {
  const isSvg = SVG_TAGS.has(tag) || attributes.xmlns === SVG;
  const element = isSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false || name === "xmlns") continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

/** A link inside an SVG. */
export const svgLink = (attributes, ...children) => h("a", { xmlns: SVG, ...attributes }, ...children);

const isLong = (cell) => typeof cell === "string" && cell.length > 44;

/** A table with a caption; a cell may be a text or an element, the first of a row is its heading. */
export function table(caption, heads, rows) {
  const head = h("tr", {}, heads.map((each) => h("th", { scope: "col" }, each)));
  const body = rows.map(([first, ...rest]) =>
    h("tr", {}, h("th", { scope: "row" }, first), rest.map((each) => h("td", { class: isLong(each) ? "wide" : null }, each))),
  );
  // What is wider than the page scrolls alone, by keyboard too.
  return h("figure", {}, h("figcaption", {}, caption),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
      h("table", { "aria-label": caption }, h("thead", {}, head), h("tbody", {}, body))));
}

/** A part of the page that a person opens; it stays open over a refresh. */
export const details = (key, summary, ...children) =>
  h("details", { "data-key": key }, h("summary", {}, summary), ...children);

export const section = (title, ...children) => h("section", {}, h("h2", {}, title), ...children);
