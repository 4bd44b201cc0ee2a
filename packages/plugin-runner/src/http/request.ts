/**
 * The request that a route's handler gets: Node's own, with what Express adds to it.
 *
 * The socket is the host's alone, so what the host says of the outside (`x-original-url`,
 * `x-forwarded-for`) is taken as true.
 */
import { IncomingMessage } from "node:http";
import { parse as parseQuery } from "node:querystring";
import accepts from "accepts";
import fresh from "fresh";
import parseRange from "range-parser";
import typeIs from "type-is";
import type { RegisteredRoute, RouteParameters } from "@hay/plugin-sdk/host";
import type { RouteResponse } from "./response.js";

export type Next = (error?: unknown) => void;

export class RouteRequest extends IncomingMessage {
  params: RouteParameters | Record<string, string | string[]> = {};
  body: unknown = {};
  /** The body's bytes as they arrived, where it was held: what a provider's signature covers. */
  rawBody?: Buffer;
  declare res: RouteResponse;
  next?: Next;
  route?: RegisteredRoute;
  baseUrl = "";
  #query: unknown;
  #held: { chunks: Buffer[]; complete: (bytes: Buffer) => void } | null = null;

  /**
   * Calls back with the whole body once it is there. Nothing is taken from the stream: a handler
   * can still read it.
   */
  hold(complete: (bytes: Buffer) => void): void {
    this.#held = { chunks: [], complete };
  }

  /** Node's parser hands over each part of the body here, and null at its end. */
  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    const taken = super.push(chunk, encoding);
    const held = this.#held;
    if (held === null) return taken;
    if (chunk === null) {
      this.#held = null;
      const { chunks } = held;
      const [only = Buffer.alloc(0)] = chunks;
      held.complete(chunks.length <= 1 ? only : Buffer.concat(chunks));
    } else {
      held.chunks.push(chunk);
    }
    // The stream asks for a pause when nobody reads; the body is awaited nonetheless.
    return true;
  }

  get(name: string): string | string[] | undefined {
    if (typeof name !== "string" || name === "") {
      throw new TypeError("name argument is required to req.get and must be a string");
    }
    const lower = name.toLowerCase();
    if (lower === "referer" || lower === "referrer") {
      return this.headers.referrer ?? this.headers.referer;
    }
    return this.headers[lower];
  }

  header(name: string): string | string[] | undefined {
    return this.get(name);
  }

  get path(): string {
    const url = this.url ?? "/";
    if (!url.startsWith("/")) return this.#outside(url)?.pathname ?? "/";
    const end = url.search(/[?#]/);
    return end === -1 ? url : url.slice(0, end);
  }

  get query(): unknown {
    if (this.#query === undefined) {
      const [url = ""] = (this.url ?? "").split("#", 1);
      const start = url.indexOf("?");
      this.#query = parseQuery(start === -1 ? "" : url.slice(start + 1));
    }
    return this.#query;
  }

  set query(value: unknown) {
    this.#query = value;
  }

  /** The path and query that the outside asked for. */
  get originalUrl(): string {
    const outside = this.#outside();
    if (outside !== undefined) return outside.pathname + outside.search;
    const header = this.headers["x-original-url"];
    return typeof header === "string" && header !== "" ? header : (this.url ?? "/");
  }

  get protocol(): string {
    const outside = this.#outside();
    if (outside !== undefined) return outside.protocol.slice(0, -1);
    return firstOf(this.headers["x-forwarded-proto"]) ?? "http";
  }

  get secure(): boolean {
    return this.protocol === "https";
  }

  get host(): string | undefined {
    const outside = this.#outside();
    return outside?.host ?? firstOf(this.headers["x-forwarded-host"]) ?? this.headers.host;
  }

  get hostname(): string | undefined {
    const { host } = this;
    if (host === undefined) return undefined;
    const port = host.indexOf(":", host.startsWith("[") ? host.indexOf("]") + 1 : 0);
    return port === -1 ? host : host.slice(0, port);
  }

  get subdomains(): string[] {
    const { hostname } = this;
    if (hostname === undefined) return [];
    const { isIP } = process.getBuiltinModule("node:net");
    return (isIP(hostname) === 0 ? hostname.split(".").reverse() : [hostname]).slice(2);
  }

  get ip(): string | undefined {
    return firstOf(this.headers["x-forwarded-for"]) ?? this.socket.remoteAddress;
  }

  get ips(): string[] {
    const header = this.headers["x-forwarded-for"];
    return header === undefined
      ? []
      : String(header)
          .split(",")
          .map((part) => part.trim());
  }

  get xhr(): boolean {
    return String(this.headers["x-requested-with"] ?? "").toLowerCase() === "xmlhttprequest";
  }

  get fresh(): boolean {
    if (this.method !== "GET" && this.method !== "HEAD") return false;
    const status = this.res.statusCode;
    if ((status < 200 || status >= 300) && status !== 304) return false;
    return fresh(this.headers, {
      etag: this.res.get("ETag"),
      "last-modified": this.res.get("Last-Modified"),
    });
  }

  get stale(): boolean {
    return !this.fresh;
  }

  is(...types: (string | string[])[]): string | false | null {
    return typeIs(this, types.flat());
  }

  accepts(...types: (string | string[])[]): string | string[] | false {
    return accepts(this).types(...types.flat());
  }

  acceptsEncodings(...encodings: (string | string[])[]): string | string[] | false {
    return accepts(this).encodings(...encodings.flat());
  }

  acceptsCharsets(...charsets: (string | string[])[]): string | string[] | false {
    return accepts(this).charsets(...charsets.flat());
  }

  acceptsLanguages(...languages: (string | string[])[]): string | string[] | false {
    return accepts(this).languages(...languages.flat());
  }

  range(size: number, options?: { combine?: boolean }): unknown {
    const { range } = this.headers;
    return range === undefined ? undefined : parseRange(size, range, options);
  }

  /** The address that the outside used, where the host says it whole. */
  #outside(url: unknown = this.headers["x-original-url"]): URL | undefined {
    if (typeof url !== "string" || !/^https?:/i.test(url)) return undefined;
    try {
      return new URL(url);
    } catch {
      return undefined;
    }
  }
}

function firstOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const first = String(header).split(",", 1)[0]?.trim();
  return first === "" ? undefined : first;
}
