import {
  type CapabilityName,
  type CapabilityUses,
  createTimer,
  type Fetch,
  Instance,
  type JsonRpcMessage,
  type KV,
  type Logger,
  type PluginContext,
  type PluginHost,
  type PluginManifest,
  type PluginRuntime,
  type ToolResult,
  UseCounter,
} from "@hatago/core/host";

/** What a test decides. */
export interface MockContextOptions {
  /** What the plugin declares; nothing if absent. */
  capabilities?: CapabilityName[];
  /** What the organization configured. */
  config?: Record<string, unknown>;
  /** Where the plugin believes that it runs. */
  runtime?: PluginRuntime;
  /** Further parts of the manifest. */
  manifest?: Partial<PluginManifest>;
  /** The environment that the plugin may read. */
  env?: Record<string, string>;
  /** Answers the plugin's requests; without it, each is refused, so that no test reaches the network. */
  fetch?: Fetch;
}

/** A line that the plugin logged. */
export interface MockLogLine {
  level: keyof Logger;
  message: string;
  meta?: object;
}

/** What a plugin's module exports: the module itself, or its default. */
type PluginExport = unknown;

/** The context to call a plugin with, the host to call its result with, and what came of it. */
export interface MockContext extends PluginContext {
  /** What the plugin's own function gets; made anew by `start`. */
  readonly host: PluginHost;
  readonly capabilities: PluginHost["capabilities"];
  readonly server: PluginHost["server"];
  /** All that the plugin logged so far. */
  readonly logs: readonly MockLogLine[];
  /** What `kv` keeps. */
  readonly store: ReadonlyMap<string, string>;
  /** How often each capability was used, and refused. */
  readonly uses: readonly CapabilityUses[];
  /** Loads a plugin, given its module or its default export, and runs its setup. */
  start(plugin: PluginExport): Promise<void>;
  /** Sends one MCP request, and gives its result. Throws what the server answers as an error. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- a test knows what it asked for
  request(method: string, params?: object): Promise<any>;
  /** The tools that the plugin registered. */
  listTools(): Promise<{ name: string; [field: string]: unknown }[]>;
  /** Calls a tool. */
  callTool(name: string, args?: Record<string, unknown>): Promise<ToolResult>;
  /** The notifications that the plugin sent so far. */
  readonly notifications: readonly JsonRpcMessage[];
  /** Asks one of the plugin's HTTP routes. */
  fetchRoute(path: string, init?: RequestInit): Promise<Response>;
  /** Lets the plugin release what it holds. */
  dispose(): Promise<void>;
}

/** Makes what a plugin is tested with. */
export function createMockContext(options: MockContextOptions = {}): MockContext {
  return new Mock(options);
}

class Mock implements MockContext {
  readonly manifest: PluginManifest;
  readonly config: Record<string, unknown>;
  readonly runtime: PluginRuntime;
  readonly logs: MockLogLine[] = [];
  readonly store = new Map<string, string>();
  readonly notifications: JsonRpcMessage[] = [];
  readonly #options: MockContextOptions;
  readonly #counter = new UseCounter();
  readonly #counted = new Map<string, CapabilityUses>();
  readonly #timer = createTimer();
  readonly #expiries = new Map<string, number>();
  #instance: Instance | null;
  #nextId = 1;

  constructor(options: MockContextOptions) {
    this.#options = options;
    const { capabilities = [], config = {}, runtime = "node", manifest } = options;
    this.manifest = {
      name: "@example/plugin-under-test",
      version: "0.0.0",
      entry: { default: "./index.js" },
      ...manifest,
      capabilities,
    };
    this.config = config;
    this.runtime = runtime;
    this.#instance = this.#make();
  }

  get host(): PluginHost {
    return this.#present.host;
  }

  get capabilities(): PluginHost["capabilities"] {
    return this.host.capabilities;
  }

  get server(): PluginHost["server"] {
    return this.host.server;
  }

  get uses(): readonly CapabilityUses[] {
    for (const { capability, count, denied } of this.#counter.take()) {
      const before = this.#counted.get(capability) ?? { capability, count: 0, denied: 0 };
      this.#counted.set(capability, {
        capability,
        count: before.count + count,
        denied: before.denied + denied,
      });
    }
    return [...this.#counted.values()];
  }

  async start(plugin: PluginExport): Promise<void> {
    await this.dispose();
    this.#instance = this.#make();
    await this.#instance.run(defaultOf(plugin));
  }

  async request(method: string, params?: object): Promise<unknown> {
    const id = this.#nextId++;
    let answer: JsonRpcMessage = {};
    const message = { jsonrpc: "2.0", id, method, params: params as Record<string, unknown> };
    await this.#present.server.handle(message, (sent) => {
      const received = sent as JsonRpcMessage;
      if (received.id === id) answer = received;
      else this.notifications.push(received);
      return Promise.resolve();
    });
    if (answer.error !== undefined) {
      const { message: text, code } = answer.error as { message: string; code: number };
      throw Object.assign(new Error(text), { code });
    }
    return answer.result;
  }

  async listTools(): Promise<{ name: string; [field: string]: unknown }[]> {
    return ((await this.request("tools/list")) as { tools: { name: string }[] }).tools;
  }

  async callTool(name: string, args: Record<string, unknown> = {}): Promise<ToolResult> {
    return (await this.request("tools/call", { name, arguments: args })) as ToolResult;
  }

  async fetchRoute(path: string, init?: RequestInit): Promise<Response> {
    return this.#present.fetch(new Request(new URL(path, "http://plugin.test"), init));
  }

  async dispose(): Promise<void> {
    const instance = this.#instance;
    this.#instance = null;
    this.#timer.clearAll();
    await instance?.dispose();
  }

  get #present(): Instance {
    if (this.#instance === null) {
      throw new Error("the plugin was disposed of: start it anew, or make another context");
    }
    return this.#instance;
  }

  #make(): Instance {
    const instance = new Instance({
      manifest: this.manifest,
      config: this.config,
      runtime: this.runtime,
      env: this.#options.env ?? {},
      uses: this.#counter,
      offered: {
        fetch: this.#options.fetch ?? refuseFetch,
        kv: this.#kv(),
        logger: this.#logger(),
        timer: this.#timer,
        crypto: globalThis.crypto,
      },
    });
    // What the server says of itself, beside answers.
    void instance.server.connect({
      send: (message) => {
        this.notifications.push(message);
        return Promise.resolve();
      },
    });
    return instance;
  }

  #logger(): Logger {
    const write = (level: keyof Logger) => (message: string, meta?: object) => {
      this.logs.push(meta === undefined ? { level, message } : { level, message, meta });
    };
    return {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
    };
  }

  #kv(): KV {
    return {
      get: (key) => {
        const expiry = this.#expiries.get(key);
        if (expiry !== undefined && expiry <= Date.now()) this.store.delete(key);
        return Promise.resolve(this.store.get(key) ?? null);
      },
      set: (key, value, ttl) => {
        this.store.set(key, value);
        if (ttl === undefined) this.#expiries.delete(key);
        else this.#expiries.set(key, Date.now() + ttl * 1000);
        return Promise.resolve();
      },
      delete: (key) => {
        this.store.delete(key);
        return Promise.resolve();
      },
    };
  }
}

function defaultOf(plugin: unknown): (context: PluginContext) => unknown {
  let value = plugin;
  for (let depth = 0; depth < 2 && typeof value === "object" && value !== null; depth += 1) {
    value = (value as { default?: unknown }).default;
  }
  if (typeof value === "function") return value as (context: PluginContext) => unknown;
  throw new TypeError(
    "`start` takes a plugin's module, or the function that it exports as its default",
  );
}

function refuseFetch(input: unknown): Promise<never> {
  const address = input instanceof Request ? input.url : String(input);
  return Promise.reject(
    new Error(
      `the test gave no \`fetch\`, and the plugin asked for ${address}: pass one to \`createMockContext\``,
    ),
  );
}
