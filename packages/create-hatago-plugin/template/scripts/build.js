// Builds one file for each runtime that the manifest names, with everything in it that the plugin imports.
import { readFile } from "node:fs/promises";
import { build, context } from "esbuild";

const manifest = JSON.parse(await readFile("hatago.plugin.json", "utf8"));
const packageJson = JSON.parse(await readFile("package.json", "utf8"));

/** What a registry and a host would refuse, before anything is built. */
function problems() {
  const found = [];
  for (const key of ["name", "version"]) {
    if (manifest[key] !== packageJson[key]) {
      found.push(
        `\`${key}\` is ${manifest[key]} in hatago.plugin.json and ${packageJson[key]} in package.json`,
      );
    }
  }
  const known = ["fetch", "kv", "logger", "timer", "crypto"];
  for (const name of manifest.capabilities ?? []) {
    if (!known.includes(name)) found.push(`there is no capability \`${name}\``);
  }
  if (Object.keys(manifest.entry ?? {}).length === 0) found.push("`entry` names no runtime");
  return found;
}

const options = (runtime) => ({
  entryPoints: ["src/index.ts"],
  outfile: manifest.entry[runtime],
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: runtime === "node" ? "node" : "neutral",
  mainFields: ["module", "main"],
  logLevel: "warning",
});
const runtimes = ["node", "workers"].filter((runtime) => manifest.entry?.[runtime] !== undefined);

const found = problems();
if (found.length > 0) {
  console.error(found.join("\n"));
  process.exit(1);
}
if (process.argv.includes("--watch")) {
  for (const runtime of runtimes) await (await context(options(runtime))).watch();
} else {
  await Promise.all(runtimes.map((runtime) => build(options(runtime))));
}
