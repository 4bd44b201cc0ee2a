/** Requests for routes under test. Knows nothing of sockets. */

import type { HayRequest } from "../types/http.js";
import type { RouteParameters } from "../registry/route-pattern.js";

/** What a request under test is made of. */
export interface TestRequestOptions {
  /** Header values by name. */
  headers?: Readonly<Record<string, string>>;
  /** Added to the query of the path. */
  query?: Readonly<Record<string, string>>;
  /**
   * Texts and bytes are sent as they are, `URLSearchParams` as a form, anything else as JSON. The content type is set
   * to match unless a header says otherwise.
   */
  body?: unknown;
}

/** A request as a handler sees it. */
export class TestRequest implements HayRequest {
  readonly method: string;
  readonly url: string;
  readonly originalUrl: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly params: RouteParameters;
  readonly query: Readonly<Record<string, string | string[]>>;
  readonly body: unknown;
  readonly rawBody?: Uint8Array;

  constructor(method: string, target: URL, params: RouteParameters, options: TestRequestOptions) {
    const payload = encoded(options.body);
    this.method = method;
    this.url = target.pathname + target.search;
    this.originalUrl = this.url;
    this.path = target.pathname;
    this.params = params;
    this.query = queryOf(target.searchParams);
    this.headers = {
      ...(payload === undefined ? {} : { "content-length": String(payload.bytes.length) }),
      ...(payload?.type === undefined ? {} : { "content-type": payload.type }),
      ...lowerCased(options.headers ?? {}),
    };
    if (payload !== undefined) this.rawBody = payload.bytes;
    this.body = payload === undefined ? {} : this.#parsed(payload.bytes);
  }

  get(name: string): string | undefined {
    const key = name.toLowerCase();
    // Express knows this one header by both of its spellings.
    if (key === "referer" || key === "referrer")
      return this.headers.referrer ?? this.headers.referer;
    return this.headers[key];
  }

  header(name: string): string | undefined {
    return this.get(name);
  }

  is(type: string | string[]): string | false | null {
    if (this.rawBody === undefined) return null;
    const own = this.headers["content-type"]?.split(";")[0]?.trim().toLowerCase() ?? "";
    const wanted = typeof type === "string" ? [type] : type;
    return wanted.some((candidate) => isOfType(own, candidate)) ? own : false;
  }

  #parsed(bytes: Uint8Array): unknown {
    const text = new TextDecoder().decode(bytes);
    if (this.is(["json", "+json"]) !== false) return JSON.parse(text) as unknown;
    if (this.is("urlencoded") !== false) return queryOf(new URLSearchParams(text));
    return {};
  }
}

function encoded(body: unknown): { bytes: Uint8Array; type?: string } | undefined {
  if (body === undefined) return undefined;
  if (body instanceof Uint8Array) return { bytes: body };
  const encoder = new TextEncoder();
  if (typeof body === "string") return { bytes: encoder.encode(body), type: "text/plain" };
  if (body instanceof URLSearchParams) {
    return { bytes: encoder.encode(body.toString()), type: "application/x-www-form-urlencoded" };
  }
  return { bytes: encoder.encode(JSON.stringify(body)), type: "application/json" };
}

function queryOf(parameters: URLSearchParams): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {};
  for (const name of new Set(parameters.keys())) {
    const [first = "", ...others] = parameters.getAll(name);
    query[name] = others.length === 0 ? first : [first, ...others];
  }
  return query;
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

function isOfType(own: string, candidate: string): boolean {
  if (candidate === "urlencoded") return own === "application/x-www-form-urlencoded";
  if (candidate.startsWith("+")) return own.endsWith(candidate);
  return candidate.includes("/") ? own === candidate : own.endsWith(`/${candidate}`);
}
