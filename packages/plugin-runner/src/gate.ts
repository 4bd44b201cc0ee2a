/**
 * The gate: where the worker has no network of its own, leads connections to the host's name to a
 * unix socket of the host, and those to other names to a second one beside it.
 *
 * It sits below `net.Socket`, so that `http`, `fetch` and every client built on them pass it without
 * knowing. Whoever goes around it reaches nothing: it is a convenience, not a boundary.
 */
import { openSync } from "node:fs";
import { Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { type Target, openNetwork, outside, question, request } from "./gate-network.js";

const HOST = "hayloft.internal";
const PORT = 80;

/** The longest name of a unix socket, in bytes. */
const LONGEST_NAME = 107;

/** The socket beside the gate's at which connections to the outside are asked for. */
const NETWORK = "network.sock";

type Connect = (this: Socket, ...args: unknown[]) => Socket;

/**
 * Leads connections to `hayloft.internal`, port 80, to the socket at `path` from now on, and those to
 * names of the outside to the one beside it.
 */
export function openGate(path: string): void {
  const connect = Reflect.get(Socket.prototype, "connect") as Connect;
  const name = socketName(path);
  const network = socketName(join(dirname(path), NETWORK));
  const throughGate: Connect = function (...args) {
    // Node's own callers hand over one list of what others give one by one.
    const [first] = args as [unknown];
    const list: unknown[] = Array.isArray(first) ? first : args;
    const target = targetOf(list);
    const last = list.at(-1);
    const listener = typeof last === "function" ? [last] : [];
    if (isHost(target)) return connect.call(this, { ...target, path: name }, ...listener);
    const asked = outside(target);
    if (asked === undefined) return connect.apply(this, args);
    connect.call(this, { ...target, path: network }, ...listener);
    // Before the program can write anything.
    this.write(request(asked));
    return this;
  };
  Socket.prototype.connect = throughGate;
  openNetwork(
    (target) => new Socket().connect(target),
    (wanted) =>
      new Promise((resolve) => {
        const socket = connect.call(new Socket(), { path: network });
        let answer = "";
        socket.setEncoding("utf8").on("data", (text: string) => (answer += text));
        // Whatever went wrong, nothing was found.
        socket
          .on("error", () => undefined)
          .on("close", () => {
            resolve(answer.trim() || undefined);
          });
        socket.write(question(wanted));
      }),
  );
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
