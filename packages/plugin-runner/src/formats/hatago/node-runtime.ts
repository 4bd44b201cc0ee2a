/** Runs a plugin's `node` entry in this process. */
import {
  createTimer,
  deniedCapability,
  type Fetch,
  type PluginManifest,
  startInstance,
  type UseCounter,
} from "@hatago/core/host";
import { loadEntry } from "../../loader.js";
import type { HatagoRuntime, RunningPlugin, RuntimeInput } from "./runtime.js";

const ENTRY_EXPORT = {
  expected: "a function that takes the plugin's context",
  hint: "write `export default (context) => async ({ server, capabilities }) => { … }`",
  accepts: (value: unknown): value is () => unknown =>
    typeof value === "function" && !/^class\b/.test(Function.prototype.toString.call(value)),
};

export class NodeRuntime implements HatagoRuntime {
  readonly #root: string;
  readonly #entry: string;
  readonly #manifest: PluginManifest;
  #factory: () => unknown = () => undefined;
  #fetch: Fetch = globalThis.fetch;
  #uses: UseCounter | null = null;

  constructor(root: string, entry: string, manifest: PluginManifest) {
    this.#root = root;
    this.#entry = entry;
    this.#manifest = manifest;
  }

  async load(): Promise<void> {
    const send = globalThis.fetch;
    this.#fetch = (input, init) => send(input, init);
    // Not a boundary, which is the host's to draw: an early and clear word to the author.
    if (this.#manifest.capabilities?.includes("fetch") !== true) {
      globalThis.fetch = () => {
        this.#uses?.add("fetch", true);
        return Promise.reject(deniedCapability("fetch"));
      };
    }
    this.#factory = await loadEntry(this.#root, this.#entry, ENTRY_EXPORT);
  }

  async start(input: RuntimeInput): Promise<RunningPlugin> {
    this.#uses = input.uses;
    const timer = createTimer();
    const instance = await startInstance(this.#factory, {
      ...input,
      runtime: "node",
      offered: { ...input.offered, fetch: this.#fetch, timer, crypto: globalThis.crypto },
    });
    return {
      server: instance.server,
      get toolNames() {
        return instance.server.toolNames;
      },
      get routes() {
        return instance.routes;
      },
      fetch: (request) => instance.fetch(request),
      dispose: async () => {
        timer.clearAll();
        await instance.dispose();
      },
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
