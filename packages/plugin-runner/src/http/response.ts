/** The response that a route's handler gets: Node's own, with what Express adds to it. */
import { type IncomingMessage, ServerResponse, STATUS_CODES } from "node:http";
import path from "node:path";
import contentDisposition from "content-disposition";
import contentType from "content-type";
import cookie from "cookie";
import encodeUrl from "encodeurl";
import escapeHtml from "escape-html";
import mime from "mime-types";
import vary from "vary";
import { HttpError } from "./http-error.js";
import type { RouteRequest } from "./request.js";
import { type FileOptions, sendFile } from "./send-file.js";

type HeaderValue = string | number | readonly string[];
type Headers = Record<string, HeaderValue | undefined>;
type FileCallback = (error?: Error) => void;
type Format = Record<string, (req: RouteRequest, res: RouteResponse, next: unknown) => void>;

export interface CookieOptions extends Record<string, unknown> {
  maxAge?: number | null;
  path?: string | null;
  signed?: boolean;
}

export class RouteResponse extends ServerResponse<RouteRequest & IncomingMessage> {
  /** Values that a handler keeps for later ones. */
  locals: Record<string, unknown> = Object.create(null) as Record<string, unknown>;

  status(code: number): this {
    if (!Number.isInteger(code)) {
      throw new TypeError(
        `Invalid status code: ${JSON.stringify(code)}. Status code must be an integer.`,
      );
    }
    if (code < 100 || code > 999) {
      throw new RangeError(
        `Invalid status code: ${JSON.stringify(code)}. Status code must be greater than 99 and less than 1000.`,
      );
    }
    this.statusCode = code;
    return this;
  }

  sendStatus(code: number): this {
    return this.status(code)
      .type("txt")
      .send(STATUS_CODES[code] ?? String(code));
  }

  json(value?: unknown): this {
    // Undefined has no JSON, and then nothing is sent.
    const text = JSON.stringify(value) as string | undefined;
    if (!this.get("Content-Type"))
      this.setHeader("Content-Type", "application/json; charset=utf-8");
    return this.send(text);
  }

  send(body?: unknown): this {
    if (typeof body === "string") return this.#sendText(body);
    if (body === undefined) return this.#sendBytes(undefined);
    if (body === null) return this.#sendBytes(Buffer.alloc(0));
    if (ArrayBuffer.isView(body)) {
      if (!this.get("Content-Type")) this.type("bin");
      return this.#sendBytes(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
    }
    if (typeof body === "object" || typeof body === "number" || typeof body === "boolean") {
      return this.json(body);
    }
    throw new TypeError(`a ${typeof body} cannot be sent`);
  }

  set(field: string | Headers, value?: unknown): this {
    if (typeof field !== "string") {
      for (const [name, each] of Object.entries(field)) this.set(name, each);
      return this;
    }
    const texts = Array.isArray(value) ? value.map(String) : String(value);
    if (field.toLowerCase() !== "content-type") {
      this.setHeader(field, texts);
      return this;
    }
    if (typeof texts !== "string") throw new TypeError("Content-Type cannot be set to an Array");
    this.setHeader(field, mime.contentType(texts) || texts);
    return this;
  }

  header(field: string | Headers, value?: unknown): this {
    return this.set(field, value);
  }

  get(field: string): HeaderValue | undefined {
    return this.getHeader(field);
  }

  append(field: string, value: string | string[]): this {
    const before = this.get(field);
    if (!before) return this.set(field, value);
    return this.set(field, [before, value].flat());
  }

  type(type: string): this {
    return this.set(
      "Content-Type",
      type.includes("/") ? type : mime.contentType(type) || "application/octet-stream",
    );
  }

  contentType(type: string): this {
    return this.type(type);
  }

  location(url: string): this {
    return this.set("Location", encodeUrl(url));
  }

  redirect(...target: [url: string] | [status: number, url: string]): void {
    const [status, url] = target.length === 2 ? target : [302, target[0]];
    const address = String(this.location(url).get("Location"));
    const reason = STATUS_CODES[status] ?? String(status);
    let body = "";
    this.format({
      text: () => {
        body = `${reason}. Redirecting to ${address}`;
      },
      html: () => {
        const escaped = escapeHtml(address);
        body =
          `<!DOCTYPE html><head><title>${reason}</title></head>` +
          `<body><p>${reason}. Redirecting to ${escaped}</p></body>`;
      },
      default: () => undefined,
    });
    this.status(status);
    this.set("Content-Length", Buffer.byteLength(body));
    this.end(this.req.method === "HEAD" ? undefined : body);
  }

  links(links: Record<string, string | string[]>): this {
    const before = this.get("Link");
    const added = Object.entries(links).flatMap(([relation, urls]) =>
      [urls].flat().map((url) => `<${url}>; rel="${relation}"`),
    );
    return this.set("Link", [...(before ? [String(before)] : []), ...added].join(", "));
  }

  vary(field: string | string[]): this {
    vary(this, field);
    return this;
  }

  format(formats: Format): this {
    const names = Object.keys(formats).filter((name) => name !== "default");
    const name = names.length > 0 ? this.req.accepts(names) : false;
    this.vary("Accept");
    const { next } = this.req;
    if (typeof name === "string") {
      this.set("Content-Type", name.includes("/") ? mediaRange(name) : mime.lookup(name) || name);
      formats[name]?.(this.req, this, next);
    } else if (formats.default !== undefined) {
      formats.default(this.req, this, next);
    } else {
      next?.(new HttpError(406, "none of the accepted types can be given"));
    }
    return this;
  }

  cookie(name: string, value: unknown, options: CookieOptions = {}): this {
    const attributes: CookieOptions = { ...options };
    if (attributes.signed === true) {
      throw new Error("signed cookies need a secret, which plugins have no place for");
    }
    const { maxAge } = attributes;
    if (maxAge !== undefined && maxAge !== null && !Number.isNaN(maxAge)) {
      attributes.expires = new Date(Date.now() + maxAge);
      attributes.maxAge = Math.floor(maxAge / 1000);
    }
    attributes.path ??= "/";
    const scalar = value as string | number | boolean;
    const text = typeof value === "object" ? `j:${JSON.stringify(value)}` : String(scalar);
    return this.append("Set-Cookie", cookie.serialize(name, text, attributes));
  }

  clearCookie(name: string, options: CookieOptions = {}): this {
    const attributes: CookieOptions = { path: "/", ...options, expires: new Date(1) };
    delete attributes.maxAge;
    return this.cookie(name, "", attributes);
  }

  attachment(filename?: string): this {
    const name = filename === undefined ? undefined : path.basename(filename);
    if (name !== undefined && name !== "") this.type(path.extname(name));
    return this.set("Content-Disposition", contentDisposition.create(name));
  }

  sendFile(file: string, ...rest: (FileOptions | FileCallback | undefined)[]): void {
    const options = rest.find((part) => typeof part === "object") ?? {};
    const callback = rest.find((part) => typeof part === "function");
    if (typeof file !== "string" || file === "") {
      throw new TypeError("path must be a string to res.sendFile");
    }
    if (options.root === undefined && !path.isAbsolute(file)) {
      throw new TypeError("path must be absolute or specify root to res.sendFile");
    }
    sendFile(this.req, this, file, options).then(
      () => callback?.(),
      (error: unknown) => {
        const { code, syscall } = error as NodeJS.ErrnoException;
        if (callback !== undefined) callback(error as Error);
        else if (code === "EISDIR") this.req.next?.();
        // Nobody is left to tell that the client went away.
        else if (code !== "ECONNABORTED" && syscall !== "write") this.req.next?.(error);
      },
    );
  }

  download(file: string, ...rest: (string | FileOptions | FileCallback | undefined)[]): void {
    const name = rest.find((part) => typeof part === "string") ?? file;
    const options = rest.find((part) => typeof part === "object") ?? {};
    const callback = rest.find((part) => typeof part === "function");
    const headers: Record<string, string> = {};
    for (const [header, value] of Object.entries(options.headers ?? {})) {
      if (header.toLowerCase() !== "content-disposition") headers[header] = value;
    }
    headers["Content-Disposition"] = contentDisposition.create(path.basename(name));
    const target = options.root === undefined ? path.resolve(file) : file;
    this.sendFile(target, { ...options, headers }, callback);
  }

  #sendText(text: string): this {
    const type = this.get("Content-Type");
    if (typeof type !== "string") {
      this.setHeader("Content-Type", "text/html; charset=utf-8");
    } else if (!type.endsWith("; charset=utf-8")) {
      this.set("Content-Type", withCharset(type));
    }
    return this.#sendBytes(Buffer.from(text));
  }

  #sendBytes(bytes: Buffer | undefined): this {
    const { method } = this.req;
    if (bytes !== undefined) {
      if (!this.get("Transfer-Encoding")) this.setHeader("Content-Length", bytes.length);
      if ((method === "GET" || method === "HEAD") && !this.get("ETag")) {
        this.setHeader("ETag", weakTag(bytes));
      }
    }
    if (this.req.fresh) this.status(304);
    let content = bytes;
    if (this.statusCode === 204 || this.statusCode === 304) {
      this.removeHeader("Content-Type");
      this.removeHeader("Content-Length");
      this.removeHeader("Transfer-Encoding");
      content = undefined;
    } else if (this.statusCode === 205) {
      this.set("Content-Length", "0");
      this.removeHeader("Transfer-Encoding");
      content = undefined;
    }
    if (method === "HEAD" || content === undefined) this.end();
    else this.end(content);
    return this;
  }
}

/** The entity tag that Express gives, so that caches agree across both. */
function weakTag(bytes: Buffer): string {
  if (bytes.length === 0) return 'W/"0-2jmj7l5rSw0yVb/vlWAYkK/YBwk"';
  const { createHash } = process.getBuiltinModule("node:crypto");
  const hash = createHash("sha1").update(bytes).digest("base64").slice(0, 27);
  return `W/"${bytes.length.toString(16)}-${hash}"`;
}

function withCharset(type: string): string {
  try {
    const parsed = contentType.parse(type);
    parsed.parameters.charset = "utf-8";
    return contentType.format(parsed);
  } catch {
    return type;
  }
}

/** A media range without its parameters. */
function mediaRange(name: string): string {
  return name.split(";", 1)[0]?.trim() ?? name;
}
