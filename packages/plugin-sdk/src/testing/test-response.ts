/** Answers of routes under test. Keeps what a handler sends. */

import type { HayResponse, HeaderFields } from "../types/http.js";

/** What a route answered. */
export interface TestAnswer {
  /** The status. */
  status: number;
  /** Header values by lower-case name. */
  headers: Record<string, string>;
  /** The bytes of the body. */
  bytes: Uint8Array;
  /** The body as text. */
  text: string;
  /** The body as parsed JSON; throws if it is none. */
  json(): unknown;
}

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  text: "text/plain; charset=utf-8",
  txt: "text/plain; charset=utf-8",
  json: "application/json; charset=utf-8",
  xml: "application/xml",
  csv: "text/csv; charset=utf-8",
};

/** An answer as a handler sees it. */
export class TestResponse implements HayResponse {
  /** Settles when the handler completed the answer. */
  readonly answer: Promise<TestAnswer>;

  statusCode = 200;
  headersSent = false;
  writableEnded = false;

  readonly #headers = new Map<string, string>();
  readonly #chunks: Uint8Array[] = [];
  readonly #listeners: { event: string; listener: (...args: unknown[]) => void }[] = [];
  #complete: (answer: TestAnswer) => void = () => undefined;

  constructor() {
    this.answer = new Promise((resolve) => {
      this.#complete = resolve;
    });
  }

  status(code: number): this {
    this.statusCode = code;
    return this;
  }

  sendStatus(code: number): this {
    const { STATUS_CODES } = process.getBuiltinModule("node:http");
    return this.status(code)
      .type("text")
      .send(STATUS_CODES[code] ?? String(code));
  }

  json(body?: unknown): this {
    if (this.get("content-type") === undefined) this.type("json");
    return this.end(body === undefined ? "" : JSON.stringify(body));
  }

  send(body?: unknown): this {
    if (typeof body === "string" || body instanceof Uint8Array) {
      const type = typeof body === "string" ? "html" : "application/octet-stream";
      if (this.get("content-type") === undefined) this.type(type);
      return this.end(body);
    }
    return body === undefined || body === null ? this.end() : this.json(body);
  }

  set(field: string | HeaderFields, value?: string | string[]): this {
    const headers = typeof field === "string" ? { [field]: value ?? "" } : field;
    for (const [name, text] of Object.entries(headers)) this.setHeader(name, text);
    return this;
  }

  header(field: string | HeaderFields, value?: string | string[]): this {
    return this.set(field, value);
  }

  get(field: string): string | undefined {
    return this.#headers.get(field.toLowerCase());
  }

  setHeader(name: string, value: string | number | readonly string[]): this {
    if (this.headersSent)
      throw new Error(`the header \`${name}\` is set after the headers were sent`);
    this.#headers.set(name.toLowerCase(), Array.isArray(value) ? value.join(", ") : String(value));
    return this;
  }

  type(type: string): this {
    return this.set("content-type", type.includes("/") ? type : (TYPES[type] ?? type));
  }

  redirect(first: string | number, second?: string): void {
    const [status, url] = typeof first === "number" ? [first, second ?? ""] : [302, first];
    this.status(status).set("location", url).end();
  }

  write(chunk: string | Uint8Array): boolean {
    if (this.writableEnded) throw new Error("the answer is written to after its end");
    this.headersSent = true;
    this.#chunks.push(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
    return true;
  }

  end(chunk?: string | Uint8Array): this {
    if (this.writableEnded) return this;
    this.write(chunk ?? "");
    this.writableEnded = true;
    const bytes = new Uint8Array(Buffer.concat(this.#chunks));
    const text = new TextDecoder().decode(bytes);
    this.#complete({
      status: this.statusCode,
      headers: Object.fromEntries(this.#headers),
      bytes,
      text,
      json: () => JSON.parse(text) as unknown,
    });
    for (const name of ["finish", "close"]) this.#emit(name);
    return this;
  }

  on(event: string, listener: (...args: unknown[]) => void): this {
    this.#listeners.push({ event, listener });
    return this;
  }

  #emit(name: string): void {
    for (const { event, listener } of this.#listeners) if (event === name) listener();
  }
}
