// Where stations are: a drawing from their coordinates, without tiles of anybody.
import { h, svgLink } from "./dom.js";

const WIDEST = 600, MARGIN = 46, LEAST = 0.02; // degrees
const KM_A_DEGREE = 111.2;

/** From degrees to the drawing; east and north are to scale at the stations' latitude. */
export function projection(places, width) {
  const lats = places.map((each) => each.latitude), lons = places.map((each) => each.longitude);
  const [south, north, west, east] = [Math.min(...lats), Math.max(...lats), Math.min(...lons), Math.max(...lons)];
  const shrink = Math.max(0.05, Math.cos((((south + north) / 2) * Math.PI) / 180));
  const across = Math.max((east - west) * shrink, LEAST), down = Math.max(north - south, LEAST);
  const scale = Math.min((width - 2 * MARGIN) / across, (0.6 * width) / down);
  const height = down * scale + 2 * MARGIN;
  const left = (width - (east - west) * shrink * scale) / 2, top = (height - (north - south) * scale) / 2;
  const point = ({ latitude, longitude }) => [left + (longitude - west) * shrink * scale, top + (north - latitude) * scale];
  return { point, height, pixelsAKm: scale / KM_A_DEGREE };
}

function ruler(pixelsAKm, height) {
  const most = 120 / pixelsAKm, power = 10 ** Math.floor(Math.log10(most));
  const km = [5, 2, 1].map((each) => each * power).find((each) => each <= most) ?? power;
  const end = 12 + km * pixelsAKm;
  return h("g", { class: "ruler" },
    h("line", { x1: 12, x2: end, y1: height - 12, y2: height - 12 }),
    h("text", { x: 12, y: height - 18 }, km >= 1 ? `${km} km` : `${Math.round(km * 1000)} m`));
}

/** `places`: `{latitude, longitude, name, text, href, state}`; null where fewer than two are known. */
export function map(places) {
  const known = places.filter((each) => Number.isFinite(each.latitude) && Number.isFinite(each.longitude));
  if (known.length < 2) return null;
  const width = Math.min(WIDEST, Math.max(280, document.documentElement.clientWidth - 32));
  const { point, height, pixelsAKm } = projection(known, width);
  const dots = known.map((each) => {
    const [x, y] = point(each);
    const anchor = x > width * 0.66 ? "end" : "start";
    const shift = anchor === "end" ? -11 : 11;
    return svgLink({ href: each.href, class: `dot ${each.state}` },
      h("circle", { cx: x, cy: y, r: 7 }),
      h("text", { x: x + shift, y: y - 1, "text-anchor": anchor }, each.name),
      h("text", { x: x + shift, y: y + 14, "text-anchor": anchor, class: "value" }, each.text));
  });
  return h("svg", { class: "map", viewBox: `0 0 ${width} ${Math.ceil(height)}`, role: "group", "aria-label": "Map of the stations" },
    h("rect", { x: 1, y: 1, width: width - 2, height: Math.ceil(height) - 2, rx: 8 }), dots, ruler(pixelsAKm, Math.ceil(height)));
}
