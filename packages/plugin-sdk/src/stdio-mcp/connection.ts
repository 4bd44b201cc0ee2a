/** One running server process: its pipes, and the requests that wait for its answers. Knows no method of MCP but `ping`. */

import type { ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";

import { StdioMcpError } from "./error.js";

/** What to start. */
export interface StdioCommand {
  command: string;
  args: readonly string[];
  cwd: string | undefined;
  env: Readonly<Record<string, string>>;
  /** Gets what the server writes to its standard error, line by line. */
  onErrorLine: (line: string) => void;
}

interface Pending {
  readonly method: string;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** How long a server may take to end after its input closed, and again after SIGTERM. */
const STOP_GRACE_MS = 2_000;
/** A server that sends more than this without a line break does not speak MCP. */
const LINE_LIMIT = 16 * 1024 * 1024;

/** A connection to one server process. It is not used again after the process ended. */
export class StdioConnection {
  /** Settles when the process is gone, and never rejects. */
  readonly ended: Promise<void>;

  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #end: string | undefined;

  constructor(command: StdioCommand) {
    // Arguments can hold secrets, and errors are logged.
    this.#name = `\`${command.command}\``;
    // Loaded here, since most plugins that load the SDK never start a process.
    const { spawn } = process.getBuiltinModule("node:child_process");
    this.#child = spawn(command.command, [...command.args], {
      cwd: command.cwd,
      env: command.env,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        this.#fail(how);
        resolve();
      };
      this.#child.once("error", (error) => {
        // A folder that does not exist is reported as if the program did not.
        const where = command.cwd === undefined ? "" : ` in \`${command.cwd}\``;
        end(`could not be started${where}: ${error.message}`);
      });
      this.#child.once("close", (code, signal) => {
        end(`ended with ${signal ?? `code ${String(code)}`}`);
      });
    });
    // Writing to a server that is gone is told by `close`.
    this.#child.stdin.on("error", () => undefined);
    eachLine(
      this.#child.stdout,
      (line) => {
        this.#receive(line);
      },
      () => {
        this.#fail(`sent more than ${LINE_LIMIT} characters without a line break`);
        this.#child.kill("SIGKILL");
      },
    );
    eachLine(this.#child.stderr, command.onErrorLine, () => undefined);
  }

  /** Sends a request and gives its result. */
  request(method: string, params: object | undefined, milliseconds: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) {
        reject(new StdioMcpError(`the MCP server ${this.#name} ${this.#end}`));
        return;
      }
      const id = this.#nextId++;
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        // The protocol forbids cancelling `initialize`.
        if (method !== "initialize") this.notify("notifications/cancelled", { requestId: id });
        reject(
          new StdioMcpError(
            `the MCP server ${this.#name} did not answer \`${method}\` within ${milliseconds} ms`,
          ),
        );
      }, milliseconds);
      this.#pending.set(id, {
        method,
        resolve(result) {
          clearTimeout(timer);
          resolve(result);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#send({ id, method, params });
    });
  }

  /** Sends a notification. */
  notify(method: string, params?: object): void {
    this.#send({ method, params });
  }

  /** Ends the server: closes its input, then asks, then kills. Done when the process is gone. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    if (await endsWithin(this.ended, STOP_GRACE_MS)) return;
    this.#child.kill("SIGTERM");
    if (await endsWithin(this.ended, STOP_GRACE_MS)) return;
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  #receive(line: string): void {
    const message = parsed(line);
    // Programs print banners; only JSON-RPC counts.
    if (message === undefined) return;
    if (typeof message.method === "string") {
      if (message.id !== undefined) this.#answer(message.id, message.method);
      return;
    }
    if (typeof message.id !== "number") return;
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    this.#pending.delete(message.id);
    if (message.error === undefined) pending.resolve(message.result);
    else pending.reject(this.#refusal(pending.method, message.error));
  }

  /** Servers may ask, too. This client offered nothing, so it can only say that it is there. */
  #answer(id: unknown, method: string): void {
    this.#send(
      method === "ping"
        ? { id, result: {} }
        : { id, error: { code: -32601, message: `the method \`${method}\` is not supported` } },
    );
  }

  #refusal(method: string, error: unknown): StdioMcpError {
    const fields = (typeof error === "object" && error !== null ? error : {}) as Record<
      string,
      unknown
    >;
    const reason = typeof fields.message === "string" ? fields.message : "no reason given";
    return new StdioMcpError(
      `the MCP server ${this.#name} refused \`${method}\`: ${reason}`,
      typeof fields.code === "number" ? fields.code : undefined,
      fields.data,
    );
  }

  #send(message: object): void {
    if (!this.#child.stdin.writable) return;
    this.#child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }

  #fail(how: string): void {
    this.#end ??= how;
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of waiting) {
      reject(new StdioMcpError(`the MCP server ${this.#name} ${this.#end}`));
    }
  }
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    const message: unknown = JSON.parse(line);
    return typeof message === "object" && message !== null
      ? (message as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function eachLine(stream: Readable, take: (line: string) => void, tooLong: () => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") take(line);
    if (rest.length > LINE_LIMIT) {
      rest = "";
      tooLong();
    }
  });
}

async function endsWithin(ended: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, milliseconds, false);
  });
  const result = await Promise.race([ended.then(() => true), expired]);
  clearTimeout(timer);
  return result;
}
