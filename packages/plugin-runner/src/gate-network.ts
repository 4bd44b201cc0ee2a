/**
 * The outside, where the worker has no network of its own: names are looked up and connections are
 * asked for at a socket of the host beside the gate's.
 *
 * It is a convenience, not a boundary: whoever goes around it reaches nothing.
 */
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import { type Socket, isIP } from "node:net";
import tls from "node:tls";

/** Names that are the worker's own or the host's. */
const OWN = /(^|\.)(localhost|hayloft\.internal)$/i;

/** The addresses that stand for names (RFC 2544). */
const STANDS_FOR_A_NAME = /^198\.1[89]\./;

type Connect = (target: { host: string; port: number }) => Socket;

/** Gives the address that stands for a name; nothing for one that may not be reached. */
type LookUp = (name: string) => Promise<string | undefined>;

export interface Target {
  host?: unknown;
  port?: unknown;
  path?: unknown;
}

/** The name and port that are to be asked for at the host, if the target is one of the outside. */
export function outside({ host, port, path }: Target): { host: string; port: number } | undefined {
  if (typeof path === "string" && path !== "") return undefined;
  if (typeof host !== "string") return undefined;
  return isOutside(host) ? { host, port: Number(port) } : undefined;
}

/** The line that asks for a connection. A name that could be read as more is no name. */
export function request({ host, port }: { host: string; port: number }): string {
  return `connect ${safe(host)} ${port}\n`;
}

/** The line that asks for an address, and what is answered to it. */
export function question(name: string): string {
  return `lookup ${safe(name)}\n`;
}

/** Leads look-ups and TLS to the outside from now on, by plain connections and questions to the host. */
export function openNetwork(connect: Connect, lookUp: LookUp): void {
  leadTls(connect);
  leadNames(lookUp);
  syncBuiltinESMExports();
}

/** A name that could be read as more than one word is no name. */
function safe(name: string): string {
  return name.replaceAll(/[\s\0]/g, "?");
}

function isOutside(name: string): boolean {
  return STANDS_FOR_A_NAME.test(name) || (name !== "" && isIP(name) === 0 && !OWN.test(name));
}

/** TLS goes over a plain connection: what asks for it must stand before the handshake. */
function leadTls(connect: Connect): void {
  const original = tls.connect;
  const lead = (...args: unknown[]) => {
    const [first, second] = args;
    const listener = args.find((arg) => typeof arg === "function") as (() => void) | undefined;
    const listed = args.find((arg) => typeof arg === "object" && arg !== null);
    const options: tls.ConnectionOptions = { ...listed };
    if (typeof first !== "object") {
      options.port = Number(first);
      if (typeof second === "string") options.host = second;
    }
    const target = options.socket === undefined ? outside(options) : undefined;
    if (target === undefined) return Reflect.apply(original, tls, args) as tls.TLSSocket;
    const { timeout, ...rest } = options;
    const socket = original({ ...rest, host: target.host, socket: connect(target) }, listener);
    if (timeout !== undefined) socket.setTimeout(timeout);
    return socket;
  };
  tls.connect = lead;
}

interface LookupOptions {
  all?: boolean;
  family?: number | string;
}

function notFound(syscall: string, hostname: string): NodeJS.ErrnoException {
  const error = new Error(`${syscall} ENOTFOUND ${hostname}`);
  return Object.assign(error, { code: "ENOTFOUND", syscall, hostname });
}

type Callback = (error: Error | null, ...values: unknown[]) => void;

/** Names of the outside have one address, of the fourth version. */
function leadNames(lookUp: LookUp): void {
  const { lookup, resolve4 } = dns;
  const { lookup: lookupLater, resolve4: resolve4Later } = dns.promises;
  const isName = (name: unknown): name is string =>
    typeof name === "string" && isIP(name) === 0 && isOutside(name);

  const addressOf = async (name: string, syscall: string) => {
    const address = await lookUp(name);
    if (address === undefined) throw notFound(syscall, name);
    return address;
  };
  const found = async (name: string, options: unknown) => {
    const { all = false, family = 0 }: LookupOptions =
      typeof options === "object" && options !== null ? options : { family: Number(options ?? 0) };
    if (family === 6 || family === "IPv6") throw notFound("getaddrinfo", name);
    const address = { address: await addressOf(name, "getaddrinfo"), family: 4 };
    return all ? [address] : address;
  };
  const four = async (name: string, options: unknown) => {
    const address = await addressOf(name, "queryA");
    return (options as { ttl?: boolean } | undefined)?.ttl === true
      ? [{ address, ttl: 60 }]
      : [address];
  };
  const tell = <T>(answer: Promise<T>, done: Callback, values: (answer: T) => unknown[]) => {
    answer.then(
      (value) => process.nextTick(done, null, ...values(value)),
      (error: unknown) => process.nextTick(done, error),
    );
  };

  Object.assign(dns, {
    lookup: (name: unknown, ...rest: unknown[]) => {
      if (!isName(name)) return Reflect.apply(lookup, dns, [name, ...rest]) as unknown;
      tell(found(name, rest.length > 1 ? rest[0] : 0), rest.at(-1) as Callback, (address) =>
        Array.isArray(address) ? [address] : [address.address, address.family],
      );
      return {};
    },
    resolve4: (name: unknown, ...rest: unknown[]) => {
      if (!isName(name)) return Reflect.apply(resolve4, dns, [name, ...rest]) as unknown;
      tell(four(name, rest.length > 1 ? rest[0] : undefined), rest.at(-1) as Callback, (list) => [
        list,
      ]);
      return {};
    },
  });
  Object.assign(dns.promises, {
    lookup: (name: unknown, options?: unknown) =>
      isName(name)
        ? found(name, options)
        : (Reflect.apply(lookupLater, dns.promises, [name, options]) as unknown),
    resolve4: (name: unknown, options?: unknown) =>
      isName(name)
        ? four(name, options)
        : (Reflect.apply(resolve4Later, dns.promises, [name, options]) as unknown),
  });
}
