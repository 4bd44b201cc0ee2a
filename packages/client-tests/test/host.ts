/** The real binary with the sample plugins, on a data folder of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ADMINISTRATOR = "the-administrator-of-the-client-tests-0123456789";

/** A path of the repository. */
const repository = (path: string): string =>
  fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** An organization, and what its agents need to reach its tools. */
export interface Organization {
  readonly id: string;
  readonly token: string;
  enable(plugin: string): Promise<void>;
  /** A new token of somebody who may change everything. */
  admin(): Promise<string>;
}

/** A running host. */
export interface TestHost {
  /** Its base address. */
  readonly address: URL;
  /** Where agents connect. */
  readonly endpoint: URL;
  organization(name: string): Promise<Organization>;
  stop(): Promise<void>;
}

/** Starts the binary with the plugins of a folder and waits until it serves. */
export async function startHost(plugins = repository("plugins/examples")): Promise<TestHost> {
  const binary = process.env.HAYLOFT_BIN ?? repository("target/debug/hayloft");
  if (!existsSync(binary)) {
    throw new Error(`there is no \`${binary}\`: run \`cargo xtask build\``);
  }
  const data = await mkdtemp(join(tmpdir(), "hayloft-clients-"));
  const options = {
    "--listen": "127.0.0.1:0",
    "--data-dir": data,
    "--plugins-dir": plugins,
  };
  const child = spawn(binary, ["serve", ...Object.entries(options).flat()], {
    env: { PATH: process.env.PATH, HAYLOFT_ADMIN_TOKEN: ADMINISTRATOR },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  let said = "";
  child.stderr.on("data", (chunk) => (said += String(chunk)));
  const address = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on("line", (line) => {
      const ready = /^ready (http:\S+)$/.exec(line)?.[1];
      if (ready !== undefined) resolve(ready);
    });
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`the host ended with ${String(code)} before it served:\n${said}`)),
    );
  });

  const ask = async (method: string, path: string, body?: unknown): Promise<any> => {
    const answer = await fetch(new URL(path, address), {
      method,
      headers: { authorization: `Bearer ${ADMINISTRATOR}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  };

  return {
    address: new URL(address),
    endpoint: new URL("/v1/mcp", address),
    async organization(name) {
      const { id } = await ask("POST", "/v1/orgs", { name });
      const { token } = await ask("POST", `/v1/orgs/${id}/tokens`, { role: "agent" });
      return {
        id,
        token,
        async admin() {
          return (await ask("POST", `/v1/orgs/${id}/tokens`, { role: "admin" })).token;
        },
        async enable(plugin) {
          const path = `/v1/orgs/${id}/plugins/${plugin}`;
          let detail = await ask("PUT", path, { enabled: true });
          // On a slow machine it takes longer than a save waits; the test's own deadline bounds this.
          while (["starting", "installing"].includes(detail.state)) detail = await ask("GET", path);
          if (detail.state !== "ready")
            throw new Error(`\`${plugin}\` is ${JSON.stringify(detail)}`);
        },
      };
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
      await rm(data, { recursive: true });
    },
  };
}
