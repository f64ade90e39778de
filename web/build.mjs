// Bundles the pages into serving/bundle: what a browser gets, and nothing from another host.
import { cp, mkdir, rm } from "node:fs/promises";
import { build } from "esbuild";

const TO = new URL("../serving/bundle/", import.meta.url);
const SWAGGER = new URL("node_modules/swagger-ui-dist/", import.meta.url);

await rm(TO, { recursive: true, force: true });
await mkdir(TO, { recursive: true });
await build({
  absWorkingDir: new URL(".", import.meta.url).pathname,
  entryPoints: ["src/page.js", "src/schema.js", "src/schema.css"],
  outdir: TO.pathname,
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
