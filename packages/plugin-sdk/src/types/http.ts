/** The methods that a route can have. */
export type HttpMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Who may call a route: anybody, or whoever holds a valid token of the organization. */
export type RouteAccess = "open" | "organization";

/** How a route is served. */
export interface RouteOptions {
  /** Who may call; `open` if absent. Others never reach the plugin. */
  readonly access?: RouteAccess;
}

/** A request to a plugin's route: the part of Express's `Request` that every host of plugins offers. */
export interface HayRequest {
  /** The method, in capitals. */
  method: string;
  /** Path and query as received. */
  url: string;
  /** Path and query as received. */
  originalUrl: string;
  /** The path without the query. */
  readonly path: string;
  /** Header values by lower-case name. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** What the `:name` and `*name` parts of the route's path stand for. */
  params: Readonly<Record<string, string | string[]>>;
  /** The parsed query. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as in Express; strangers decide what is in it
  query: Readonly<Record<string, any>>;
  /** The parsed body for JSON and urlencoded forms. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as in Express; strangers decide what is in it
  body: any;
  /** The bytes of the body exactly as received, which is what a provider's signature covers. Absent without a body. */
  rawBody?: Uint8Array;
  /** A header by name, in any case. */
  get(name: string): string | undefined;
  /** A header by name, in any case. */
  header(name: string): string | undefined;
  /** Whether the body's type is the given one: the matching type, or `false`. */
  is(type: string | string[]): string | false | null;
}

/** Headers by name. */
export type HeaderFields = Readonly<Record<string, string | string[]>>;

/** The answer of a plugin's route: the part of Express's `Response` that every host of plugins offers. */
export interface HayResponse {
  /** The status that will be sent. */
  statusCode: number;
  /** Whether status and headers have left. */
  readonly headersSent: boolean;
  /** Whether the answer is complete. */
  readonly writableEnded: boolean;
  /** Sets the status. */
  status(code: number): this;
  /** Sends the status with its name as the body. */
  sendStatus(code: number): this;
  /** Sends JSON. */
  json(body?: unknown): this;
  /** Sends text, bytes, or anything else as JSON. */
  send(body?: unknown): this;
  /** Sets one header, or several. */
  set(field: string | HeaderFields, value?: string | string[]): this;
  /** Sets one header, or several. */
  header(field: string | HeaderFields, value?: string | string[]): this;
  /** A header that was set. */
  get(field: string): string | undefined;
  /** Sets one header. */
  setHeader(name: string, value: string | number | readonly string[]): this;
  /** Sets the content type, by name or extension. */
  type(type: string): this;
  /** Sends the browser elsewhere, with 302. */
  redirect(url: string): void;
  /** Sends the browser elsewhere. */
  redirect(status: number, url: string): void;
  /** Sends a part of the body. `false` asks the writer to wait for `drain`. */
  write(chunk: string | Uint8Array): boolean;
  /** Completes the answer. */
  end(chunk?: string | Uint8Array): unknown;
  /** Listens to the answer's events: `close`, `finish`, `drain`. */
  on(event: string, listener: (...args: unknown[]) => void): this;
}

// A method's parameters are compared in both directions. This lets handlers that are typed with Express's own
// `Request` and `Response` pass, while handlers without types get ours.
interface RouteHandlerSignature {
  handle(req: HayRequest, res: HayResponse): unknown;
}

/**
 * Answers a request. It may be typed with Express's `Request` and `Response`. A returned promise is awaited, and its
 * rejection answers 500.
 */
export type RouteHandler = RouteHandlerSignature["handle"];
