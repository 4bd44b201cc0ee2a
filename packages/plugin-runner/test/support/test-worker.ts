/**
 * A host for tests: starts the runner in a real Node process and speaks the worker protocol to it
 * over a socket pair, with a listening socket for routes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { encodeFrame, FrameDecoder, KIND_CONTROL, KIND_MCP } from "../../src/frame.js";
import type { Deadlines, WireError } from "../../src/protocol.js";
import { EventLog } from "./events.js";
import { NODE } from "./nodes.js";
import { factory, pluginFolder } from "./plugin-folder.js";

const RUNNER = fileURLToPath(new URL("../../dist/runner.cjs", import.meta.url));

export interface Message {
  type: string;
  id?: number;
  [field: string]: any;
}

export interface McpEnvelope {
  server: string;
  message: any;
}

export interface StartOptions {
  /** The body of the plugin's factory; or `files` with an entry. */
  plugin?: string;
  files?: Record<string, string>;
  /** A folder with a plugin, in the place of `files`. */
  root?: string;
  entry?: string;
  node?: string;
  id?: string;
  env?: string[];
  capabilities?: string[];
  format?: string;
  protocol?: number;
  deadlines?: Partial<Deadlines>;
  /** The path of a unix socket that stands for the host. */
  gate?: string;
  /** Answers the plugin's requests in the place of the obliging default. */
  onRequest?: (request: Message, worker: TestWorker) => unknown;
  /** Sends no `load`. */
  silent?: boolean;
  /** Leaves the logs unread until `readLogs`. */
  unreadLogs?: boolean;
}

/** What the host was refused, as the runner reported it. */
export class Failure extends Error {
  readonly error: WireError;

  constructor(error: WireError) {
    super(error.message);
    this.error = error;
  }
}

export class TestWorker {
  readonly control = new EventLog<Message>();
  readonly mcp = new EventLog<McpEnvelope>();
  readonly stdout = new EventLog<string>();
  readonly stderr = new EventLog<string>();
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  readonly process: ChildProcess;
  readonly channel: Socket;
  readonly root: string;
  readonly socketPath: string;
  #nextId = 1;

  private constructor(options: StartOptions, root: string, listener: Server, socketPath: string) {
    this.root = root;
    this.socketPath = socketPath;
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
    this.process = spawn(options.node ?? NODE, ["--max-old-space-size=256", RUNNER], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe", "pipe", fd],
      // A group of its own, so that what it starts ends with it, as a host sees to.
      detached: true,
      env: {
        PATH: process.env.PATH,
        NODE_ENV: "production",
        TZ: "UTC",
        HOME: root,
        LANG: "C.UTF-8",
        HAY_PLUGIN_ID: options.id ?? "hay-plugin-test",
        HAYLOFT_WORKER: "w1",
      },
    });
    // The child has its own copy of the listening socket from here on.
    listener.close();
    this.channel = this.process.stdio[3] as Socket;
    const decoder = new FrameDecoder((kind, payload) => {
      this.#receive(kind, JSON.parse(payload), options);
    });
    this.channel.on("data", (bytes: Buffer) => {
      decoder.push(bytes);
    });
    // A worker that ends first makes a write fail; its exit says more.
    this.channel.on("error", () => undefined);
    if (options.unreadLogs !== true) this.readLogs();
    this.exited = new Promise((resolve) => {
      this.process.once("close", (code, signal) => {
        resolve({ code, signal });
      });
    });
  }

  /** Starts a worker and waits for nothing. */
  static async spawn(options: StartOptions): Promise<TestWorker> {
    const files = options.files ?? {
      "index.cjs": factory(options.plugin ?? `return { name: "Test" }`),
    };
    const root = options.root ?? pluginFolder(files);
    const folder = mkdtempSync(join(tmpdir(), "hayloft-socket-"));
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(join(folder, "bound"), resolve));
    // Closing the listener removes the path that it was bound to, so it gets another name.
    const socketPath = join(folder, "routes");
    renameSync(join(folder, "bound"), socketPath);
    const worker = new TestWorker(options, root, listener, socketPath);
    onTestFinished(async () => {
      worker.killAll();
      await worker.exited;
      rmSync(folder, { recursive: true, force: true });
    });
    if (options.silent !== true) worker.load(options);
    return worker;
  }

  /** Starts a worker and waits until it is warm. */
  static async warm(options: StartOptions): Promise<TestWorker> {
    const worker = await TestWorker.spawn(options);
    const message = await worker.control.next(({ type }) => type === "ready" || type === "fatal");
    if (message.type === "fatal") throw new Failure(message.error as WireError);
    return worker;
  }

  /** Starts a worker and gives it to an organization. */
  static async bound(
    options: StartOptions,
    bind: Record<string, unknown> = {},
  ): Promise<TestWorker> {
    const worker = await TestWorker.warm(options);
    await worker.bind(bind);
    return worker;
  }

  /** Ends the worker and whatever it started. */
  killAll(): void {
    const { pid } = this.process;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // The whole group has ended already.
    }
  }

  readLogs(): void {
    for (const name of ["stdout", "stderr"] as const) {
      const stream = this.process[name];
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        this[name].add(line);
      });
    }
  }

  load(options: StartOptions): void {
    this.send({
      type: "load",
      protocol: options.protocol ?? 1,
      workerId: "w1",
      plugin: {
        id: options.id ?? "hay-plugin-test",
        root: this.root,
        entry: options.entry ?? Object.keys(options.files ?? { "index.cjs": "" })[0],
        format: options.format ?? "hay-package",
        env: options.env ?? [],
        capabilities: options.capabilities ?? ["routes", "mcp", "auth", "config", "cron"],
      },
      deadlines: {
        onInitialize: 10_000,
        onStart: 30_000,
        onValidateAuth: 15_000,
        onConfigUpdate: 10_000,
        onDisable: 10_000,
        ...options.deadlines,
      },
      ...(options.gate === undefined ? {} : { gate: options.gate }),
    });
  }

  send(message: object): void {
    this.channel.write(encodeFrame(KIND_CONTROL, JSON.stringify(message)));
  }

  sendMcp(server: string, message: object): void {
    this.channel.write(encodeFrame(KIND_MCP, JSON.stringify({ server, message })));
  }

  /** Sends a request and waits for its answer; rejects with `Failure`. */
  async request(message: object): Promise<any> {
    const id = this.#nextId++;
    this.send({ ...message, id });
    const answer = await this.control.next(
      (reply) => (reply.type === "result" || reply.type === "failure") && reply.id === id,
    );
    if (answer.type === "failure") throw new Failure(answer.error as WireError);
    return answer.value;
  }

  bind(fields: Record<string, unknown> = {}): Promise<any> {
    return this.request({
      type: "bind",
      organization: { id: "org-1", name: "One" },
      config: {},
      auth: null,
      environment: {},
      ...fields,
    });
  }

  hook(hook: string, fields: Record<string, unknown> = {}): Promise<any> {
    return this.request({ type: "hook", hook, ...fields });
  }

  /** Sends one MCP request and gives the whole answer. */
  async call(server: string, method: string, params?: object): Promise<any> {
    const id = this.#nextId++;
    this.sendMcp(server, { jsonrpc: "2.0", id, method, params });
    return (await this.mcp.next((reply) => reply.server === server && reply.message.id === id))
      .message;
  }

  /** The next notification of a server. */
  async notification(server: string, method: string): Promise<any> {
    return (await this.mcp.next((each) => each.server === server && each.message.method === method))
      .message;
  }

  /** The next line that the plugin logged with its logger. */
  async log(
    matches: (entry: { level: string; message: string; meta?: any }) => boolean,
  ): Promise<any> {
    const line = await this.stdout.next((text) => {
      try {
        return matches(JSON.parse(text) as { level: string; message: string });
      } catch {
        return false;
      }
    });
    return JSON.parse(line);
  }

  /** The MCP handshake, as a host makes it. */
  async initialize(server: string, protocolVersion = "2025-11-25"): Promise<any> {
    const answer = await this.call(server, "initialize", {
      protocolVersion,
      capabilities: {},
      clientInfo: { name: "test-host", version: "1" },
    });
    this.sendMcp(server, { jsonrpc: "2.0", method: "notifications/initialized" });
    return answer;
  }

  #receive(kind: number, payload: any, options: StartOptions): void {
    if (kind === KIND_MCP) {
      this.mcp.add(payload as McpEnvelope);
      return;
    }
    const message = payload as Message;
    this.control.add(message);
    if (message.id !== undefined && message.type !== "result" && message.type !== "failure") {
      void this.#answer(message, options);
    }
  }

  async #answer(request: Message, options: StartOptions): Promise<void> {
    try {
      const value = await (options.onRequest ?? oblige)(request, this);
      this.send({ type: "result", id: request.id, value: value ?? {} });
    } catch (error) {
      const { message } = error as Error;
      this.send({
        type: "failure",
        id: request.id,
        error: { name: "HostError", message, reason: "refused" },
      });
    }
  }
}

/** What a host does that can do everything. */
export async function oblige(request: Message, worker: TestWorker): Promise<void> {
  if (request.type !== "openMcp" || request.server.kind !== "inProcess") return;
  const answer = await worker.initialize(request.server.id as string);
  if (answer.error !== undefined) throw new Error(answer.error.message as string);
}
