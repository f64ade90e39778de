// Bundles the pages into serving/bundle: what a browser gets, and nothing from another host.
import { cp, mkdir, rename, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const BUNDLE = new URL("../serving/bundle/", import.meta.url);
const TO = new URL("bundle/", import.meta.url); // moved when it is whole: a server may be running
const SWAGGER = new URL("node_modules/swagger-ui-dist/", import.meta.url);

await rm(TO, { recursive: true, force: true });
await mkdir(TO, { recursive: true });
await build({
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  entryPoints: ["src/page.js", "src/schema.js", "src/schema.css"],
  outdir: fileURLToPath(TO),
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "linked",
  logLevel: "warning",
});
await cp(new URL("src/index.html", import.meta.url), new URL("index.html", TO));
for (const name of ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-ui-standalone-preset.js", "LICENSE", "NOTICE"])
  await cp(new URL(name, SWAGGER), new URL(name.replace(/^[A-Z]+$/, "swagger-ui.$&.txt"), TO));
await cp(new URL("node_modules/uplot/LICENSE", import.meta.url), new URL("uplot.LICENSE.txt", TO));
await rm(BUNDLE, { recursive: true, force: true });
await rename(TO, BUNDLE);
