/**
 * The gate: where the worker has no network of its own, leads connections to the host's name to a
 * unix socket of the host.
 *
 * It sits below `net.Socket`, so that `http`, `fetch` and every client built on them pass it without
 * knowing. Whoever goes around it reaches nothing: it is a convenience, not a boundary.
 */
import { openSync } from "node:fs";
import { Socket } from "node:net";
import { basename, dirname } from "node:path";

const HOST = "hayloft.internal";
const PORT = 80;

/** The longest name of a unix socket, in bytes. */
const LONGEST_NAME = 107;

interface Target {
  host?: unknown;
  port?: unknown;
  path?: unknown;
}

type Connect = (this: Socket, ...args: unknown[]) => Socket;

/** Leads connections to `hayloft.internal`, port 80, to the socket at `path` from now on. */
export function openGate(path: string): void {
  const connect = Reflect.get(Socket.prototype, "connect") as Connect;
  const name = socketName(path);
  const throughGate: Connect = function (...args) {
    // Node's own callers hand over one list of what others give one by one.
    const [first] = args as [unknown];
    const list: unknown[] = Array.isArray(first) ? first : args;
    const target = targetOf(list);
    if (!isHost(target)) return connect.apply(this, args);
    const last = list.at(-1);
    const listener = typeof last === "function" ? [last] : [];
    return connect.call(this, { ...target, path: name }, ...listener);
  };
  Socket.prototype.connect = throughGate;
}

/** `connect(options)`, `connect(port, host)` or `connect(path)`. */
function targetOf([first, second]: unknown[]): Target {
  if (typeof first === "object" && first !== null) return first;
  return { port: first, host: second };
}

function isHost({ host, port, path }: Target): boolean {
  if (typeof path === "string" && path !== "") return false;
  return typeof host === "string" && host.toLowerCase() === HOST && Number(port) === PORT;
}

/** A long path is spelled through a descriptor of its folder, which stays open. */
function socketName(path: string): string {
  if (Buffer.byteLength(path) <= LONGEST_NAME) return path;
  return `/proc/self/fd/${openSync(dirname(path), "r")}/${basename(path)}`;
}
