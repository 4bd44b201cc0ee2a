/**
 * The worker: what happens for each control message, in which state.
 *
 * `loading → warm → bound → stopping`. Owns the order of events; knows no plugin format and no
 * bytes.
 */
import {
  createLogger,
  type HayLogger,
  type PluginRegistration,
  SDK_VERSION,
} from "@hay/plugin-sdk/host";
import { resolve } from "node:path";
import { showAuthorsFiles } from "./bundle-map.js";
import { Channel, type ChannelListener } from "./channel.js";
import { withDeadline } from "./deadline.js";
import { EnvironmentWatch } from "./environment.js";
import { createHostedPlugin } from "./formats.js";
import type { HostedPlugin, HookInput } from "./hosted-plugin.js";
import { RouteListener } from "./http/listener.js";
import type { JsonRpcMessage } from "./mcp/json-rpc.js";
import { McpServers } from "./mcp/servers.js";
import type { Output } from "./output.js";
import { toPlacedError } from "./place.js";
import {
  type BindMessage,
  type ControlMessage,
  type Deadlines,
  FATAL_EXIT_CODE,
  type FatalStage,
  HOOK_NAMES,
  type HookName,
  type LoadMessage,
  type ProcedureMessage,
  PROTOCOL_VERSION,
} from "./protocol.js";
import { RUNNER_VERSION } from "./version.js";
import { messageOf, refused, RunnerError, toWireError } from "./wire-error.js";

const CHANNEL_FD = 3;
const ROUTES_FD = 4;

/** How long the last log lines may take to leave after a crash. */
const CRASH_FLUSH_MS = 500;
/** Kept back from a shutdown's deadline for the last log lines. */
const FLUSH_SHARE = 0.1;
/** The deadline of a shutdown that came as a signal. */
const SIGNAL_DEADLINE_MS = 10_000;

/**
 * The plugin's method behind a hook's name on the wire, and the deadline it runs under. Hooks
 * without a deadline of their own share that of `onConfigUpdate`, for the host too.
 */
const HOOKS: Readonly<Record<HookName, { method: string; deadline: keyof Deadlines }>> = {
  start: { method: "onStart", deadline: "onStart" },
  validateAuth: { method: "onValidateAuth", deadline: "onValidateAuth" },
  configUpdate: { method: "onConfigUpdate", deadline: "onConfigUpdate" },
  disable: { method: "onDisable", deadline: "onDisable" },
  enable: { method: "onEnable", deadline: "onConfigUpdate" },
  connected: { method: "onConnected", deadline: "onConfigUpdate" },
};

type State = "loading" | "warm" | "bound" | "stopping";

export class Worker implements ChannelListener {
  readonly #load: LoadMessage;
  readonly #output: Output;
  readonly #channel: Channel;
  readonly #logger: HayLogger;
  readonly #mcp: McpServers;
  readonly #environment = new EnvironmentWatch();
  #state: State = "loading";
  #stage: FatalStage = "load";
  #plugin: HostedPlugin | null = null;
  #routes: RouteListener | null = null;
  /** What the host was last told that the plugin registered. */
  #registered: PluginRegistration | null = null;

  constructor(load: LoadMessage, output: Output) {
    this.#load = load;
    this.#output = output;
    this.#logger = createLogger((line) => {
      output.write(line);
    });
    this.#channel = new Channel(CHANNEL_FD, this);
    this.#mcp = new McpServers({
      channel: this.#channel,
      logger: this.#logger,
      root: load.plugin.root,
      version: RUNNER_VERSION,
    });
  }

  /** Loads the plugin and says `ready`, or `fatal`. */
  async start(): Promise<void> {
    this.#channel.send({
      type: "hello",
      protocol: PROTOCOL_VERSION,
      node: process.versions.node,
      runner: RUNNER_VERSION,
      sdk: SDK_VERSION,
    });
    if (this.#load.protocol !== PROTOCOL_VERSION) {
      this.#stage = "protocol";
      this.#fatal(
        new RunnerError(
          "ProtocolError",
          `the host speaks version ${this.#load.protocol} of the worker protocol, this runner ${PROTOCOL_VERSION}`,
          "unsupported",
        ),
      );
      return;
    }
    this.#environment.start();
    process.once("exit", (code) => {
      this.#exits(code);
    });
    // A plugin that is ready within this turn is reported first.
    setImmediate(() => {
      this.#channel.open();
    });
    try {
      await this.#prepare();
    } catch (error) {
      this.#fatal(error);
    }
  }

  async #prepare(): Promise<void> {
    const { plugin, deadlines, gate, compiled } = this.#load;
    if (plugin.bundled === true) showAuthorsFiles(resolve(plugin.root, plugin.entry));
    // Before the plugin, whose first line may connect already.
    if (gate !== undefined) (await import("./gate.js")).openGate(gate);
    this.#plugin = await createHostedPlugin({
      plugin,
      deadlines,
      logger: this.#logger,
      mcp: this.#mcp,
      enter: (stage) => {
        this.#stage = stage;
      },
      updateAuth: async (methodId, credentials) => {
        await this.#channel.request({ type: "updateAuth", methodId, credentials });
      },
      request: (request) => this.#channel.request(request),
      registered: async (registration) => {
        this.#routes?.replace(this.#boundPlugin().routes);
        if (JSON.stringify(registration) === JSON.stringify(this.#registered)) return;
        await this.#channel.request({ type: "updateRegistration", registration });
        this.#registered = registration;
      },
    });
    const registration = await this.#plugin.prepare();
    if (this.#isStopping()) return;
    this.#registered = registration;
    const routes = new RouteListener({
      fd: ROUTES_FD,
      routes: this.#plugin.routes,
      logger: this.#logger,
    });
    this.#routes = routes;
    this.#channel.send({
      type: "metadata",
      registration: this.#environment.readEarly
        ? { ...registration, readsOrganizationEarly: true }
        : registration,
    });
    if (compiled !== undefined) await this.#handOverCompiled(compiled);
    this.#state = "warm";
    this.#channel.send({ type: "ready" });
    routes.start();
  }

  /** What Node compiled only makes later starts faster, so nothing of it keeps a plugin from being used. */
  async #handOverCompiled(descriptor: number): Promise<void> {
    try {
      (await import("./compiled.js")).handOver(descriptor);
    } catch (error) {
      this.#logger.warn(`what Node compiled is not kept: ${messageOf(error)}`);
    }
  }

  control(message: ControlMessage): void {
    switch (message.type) {
      case "ping":
        this.#channel.send({ type: "pong", nonce: message.nonce });
        return;
      case "shutdown":
        void this.shutdown(typeof message.deadlineMs === "number" ? message.deadlineMs : 0);
        return;
      case "bind":
        this.#answer(message, () => this.#bind(message as unknown as BindMessage));
        return;
      case "hook":
        this.#answer(message, () => this.#runHook(message));
        return;
      case "cron":
        this.#answer(message, () => this.#runCron(message));
        return;
      case "procedure":
        this.#answer(message, () => this.#callProcedure(message));
        return;
      default:
        this.#answer(message, () => {
          throw new RunnerError(
            "UnsupportedError",
            `unknown control message \`${message.type}\``,
            "unsupported",
          );
        });
    }
  }

  mcp(serverId: string, message: unknown): void {
    this.#mcp.receive(serverId, message as JsonRpcMessage);
  }

  /** Without a host nobody is served, and nobody would stop this process. */
  ended(): void {
    this.#state = "stopping";
    process.exit(0);
  }

  violated(error: Error): void {
    this.#stage = "protocol";
    this.#fatal(error);
  }

  /** An exception that nobody caught: the state of the process is unknown, so it ends. */
  crashed(error: unknown): void {
    if (this.#state === "loading") {
      this.#fatal(error);
      return;
    }
    this.#logger.error(`uncaught exception: ${messageOf(error)}`, error);
    // eslint-disable-next-line no-restricted-globals -- a deadline: the last lines may not hold up the end
    setTimeout(() => process.exit(1), CRASH_FLUSH_MS);
    void this.#output.flush().then(() => process.exit(1));
  }

  /**
   * A promise that nobody waited for was rejected. Unlike an exception it interrupted nothing, and
   * `onStart` must not be able to crash the worker by one forgotten `await`: it is logged.
   */
  rejected(error: unknown): void {
    this.#logger.error(`unhandled rejection: ${messageOf(error)}`, error);
  }

  /** The plugin's code ends the process before it is ready: only here is known what it was doing, and where. */
  #exits(code: number): void {
    if (this.#state !== "loading") return;
    const message = `its code ended the process with exit code ${String(code)}`;
    const error = new RunnerError("ExitError", message, "thrown");
    this.#channel.fatal(this.#stage, toPlacedError(error, this.#load.plugin.root), () => undefined);
  }

  /** Lets running requests end, stops the MCP servers, writes the last logs, ends the process. */
  async shutdown(deadlineMs: number = SIGNAL_DEADLINE_MS): Promise<void> {
    if (this.#state === "stopping") return;
    this.#state = "stopping";
    const end = Date.now() + deadlineMs;
    // eslint-disable-next-line no-restricted-globals -- a deadline
    setTimeout(() => process.exit(0), deadlineMs);
    const work = deadlineMs * (1 - FLUSH_SHARE);
    const left = () => Math.max(end - Date.now() - deadlineMs * FLUSH_SHARE, 0);
    await this.#routes?.close(work);
    await this.#stopPlugin(left());
    await this.#mcp.stopAll(left());
    await this.#output.flush();
    this.#channel.flush(() => process.exit(0));
  }

  async #stopPlugin(milliseconds: number): Promise<void> {
    const plugin = this.#plugin;
    if (plugin?.stop === undefined) return;
    const failed = (error: unknown) => {
      this.#logger.error(`the plugin failed to release what it holds: ${messageOf(error)}`, error);
    };
    await withDeadline("dispose", milliseconds, () => plugin.stop?.(), failed).catch(failed);
  }

  #isStopping(): boolean {
    return this.#state === "stopping";
  }

  #bind(message: BindMessage): object {
    if (this.#state !== "warm") {
      throw refused(
        this.#state === "bound"
          ? "the worker is already bound to an organization"
          : `the worker cannot be bound while it is ${this.#state}`,
      );
    }
    if (typeof message.organization.id !== "string" || message.organization.id === "") {
      throw refused("`bind` names no organization");
    }
    this.#state = "bound";
    this.#environment.bind(message, this.#load.plugin);
    const { organization, config, auth, environment } = message;
    this.#boundPlugin().bind({ organization, config, auth, environment });
    return {};
  }

  async #runHook(message: ControlMessage): Promise<unknown> {
    const name = HOOK_NAMES.find((known) => known === message.hook);
    if (name === undefined) {
      throw new RunnerError(
        "UnsupportedError",
        `unknown hook \`${String(message.hook)}\``,
        "unsupported",
      );
    }
    const plugin = this.#boundPlugin();
    const { method, deadline } = HOOKS[name];
    const late = (error: unknown) => {
      this.#logger.error(`\`${method}\` failed after its deadline: ${messageOf(error)}`);
    };
    try {
      return await withDeadline(
        method,
        this.#load.deadlines[deadline],
        () => plugin.hook(name, message as HookInput),
        late,
      );
    } catch (error) {
      this.#logger.error(`\`${method}\` failed: ${messageOf(error)}`, error);
      throw error;
    }
  }

  async #runCron(message: ControlMessage): Promise<object> {
    const plugin = this.#boundPlugin();
    await plugin.runCron(String(message.name));
    return {};
  }

  #callProcedure(message: ControlMessage): Promise<object> {
    const plugin = this.#boundPlugin();
    if (plugin.callProcedure === undefined) throw refused("the plugin has no procedures");
    return plugin.callProcedure(message as unknown as ProcedureMessage);
  }

  #boundPlugin(): HostedPlugin {
    if (this.#state !== "bound" || this.#plugin === null) {
      throw refused(
        this.#state === "stopping"
          ? "the worker is stopping"
          : "the worker is not bound to an organization",
      );
    }
    return this.#plugin;
  }

  /** Runs what a request asks for and answers it, once. */
  #answer(message: ControlMessage, work: () => unknown): void {
    const { id } = message;
    if (id === undefined) {
      this.#logger.warn(`a \`${message.type}\` message without an id was ignored`);
      return;
    }
    const fail = (error: unknown) => {
      this.#channel.fail(id, toWireError(error));
    };
    try {
      Promise.resolve(work()).then((value) => {
        this.#channel.reply(id, value);
      }, fail);
    } catch (error) {
      fail(error);
    }
  }

  #fatal(error: unknown): void {
    this.#state = "stopping";
    const exit = () => process.exit(FATAL_EXIT_CODE);
    // eslint-disable-next-line no-restricted-globals -- a deadline: the last lines may not hold up the end
    setTimeout(exit, CRASH_FLUSH_MS);
    this.#channel.fatal(this.#stage, toPlacedError(error, this.#load.plugin.root), () => {
      void this.#output.flush().then(exit);
    });
  }
}
