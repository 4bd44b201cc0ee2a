/**
 * Bodies of requests: which are held, and what becomes of them, as `express.json()` and
 * `express.urlencoded({ extended: true })` do it.
 */
import contentType from "content-type";
import parseQueryString from "qs/lib/parse";
import { HttpError } from "./http-error.js";

/** The most that a compressed body may grow to; the host limits what arrives. */
const MAX_INFLATED = 10 * 1024 * 1024;
const MAX_PARAMETERS = 1000;
const MAX_DEPTH = 32;

type Headers = Record<string, string | string[] | undefined>;

/** Whether a request comes with a body at all, an empty one included (RFC 9112, section 6.3). */
export function hasBody(headers: Headers): boolean {
  return headers["transfer-encoding"] !== undefined || headers["content-length"] !== undefined;
}

/**
 * Whether the body is held back until it is complete, so that the handler finds it parsed and its
 * exact bytes beside it: all that is text. Anything else (uploads) is the handler's to stream.
 */
export function isHeld(headers: Headers): boolean {
  if (!hasBody(headers)) return false;
  const type = mediaType(headers);
  return (
    type === "" ||
    type.startsWith("text/") ||
    /^application\/(?:(?:.+\+)?(?:json|xml)|x-www-form-urlencoded)$/.test(type)
  );
}

/** What `req.body` is for these bytes; an empty object for a type that nobody parses. */
export async function parseBody(headers: Headers, bytes: Buffer): Promise<unknown> {
  const type = mediaType(headers);
  const isJson = type === "application/json";
  if (!isJson && type !== "application/x-www-form-urlencoded") return {};
  const charset = charsetOf(headers);
  const known = isJson
    ? charset.startsWith("utf-")
    : charset === "utf-8" || charset === "iso-8859-1";
  if (!known) throw unsupportedCharset(charset);
  const text = decode(await inflate(headers, bytes), charset);
  if (text === "") return {};
  return isJson ? parseJson(text) : parseForm(text, charset as "utf-8" | "iso-8859-1");
}

function parseJson(text: string): unknown {
  const start = text.search(/[^\x20\t\n\r]/);
  if (text[start] !== "{" && text[start] !== "[") {
    throw new HttpError(400, "the body is not a JSON object or array");
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new HttpError(400, "the body is not valid JSON");
  }
}

function parseForm(text: string, charset: "utf-8" | "iso-8859-1"): unknown {
  let parameters = 1;
  for (let at = text.indexOf("&"); at !== -1; at = text.indexOf("&", at + 1)) {
    parameters += 1;
    if (parameters > MAX_PARAMETERS) throw new HttpError(413, "the body has too many parameters");
  }
  try {
    return parseQueryString(text, {
      allowPrototypes: true,
      arrayLimit: Math.max(100, parameters),
      depth: MAX_DEPTH,
      parameterLimit: MAX_PARAMETERS,
      strictDepth: true,
      charset,
    });
  } catch (error) {
    if (error instanceof RangeError) throw new HttpError(400, "the body is nested too deeply");
    throw error;
  }
}

async function inflate(headers: Headers, bytes: Buffer): Promise<Buffer> {
  const encoding = String(headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding === "identity") return bytes;
  const zlib = process.getBuiltinModule("node:zlib");
  const inflaters: Record<string, unknown> = {
    gzip: zlib.gunzip,
    deflate: zlib.inflate,
    br: zlib.brotliDecompress,
    // Absent before Node 22.15.
    zstd: (zlib as { zstdDecompress?: unknown }).zstdDecompress,
  };
  const inflater = (Object.hasOwn(inflaters, encoding) ? inflaters[encoding] : undefined) as
    typeof zlib.gunzip | undefined;
  if (inflater === undefined) {
    throw new HttpError(415, `unsupported content encoding \`${encoding}\``);
  }
  return new Promise((resolve, reject) => {
    inflater(bytes, { maxOutputLength: MAX_INFLATED }, (error, result) => {
      if (error === null) resolve(result);
      else if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
        reject(new HttpError(413, `the body inflates to more than ${MAX_INFLATED} bytes`));
      } else reject(new HttpError(400, "the body cannot be decompressed"));
    });
  });
}

function decode(bytes: Buffer, charset: string): string {
  try {
    // Also drops a byte order mark.
    return new TextDecoder(charset === "iso-8859-1" ? "latin1" : charset).decode(bytes);
  } catch {
    throw unsupportedCharset(charset);
  }
}

function unsupportedCharset(charset: string): HttpError {
  return new HttpError(415, `unsupported charset \`${charset}\``);
}

function mediaType(headers: Headers): string {
  const header = headers["content-type"];
  if (typeof header !== "string") return "";
  const end = header.indexOf(";");
  return (end === -1 ? header : header.slice(0, end)).trim().toLowerCase();
}

function charsetOf(headers: Headers): string {
  const header = headers["content-type"];
  if (typeof header !== "string" || !header.includes(";")) return "utf-8";
  try {
    return contentType.parse(header).parameters.charset?.toLowerCase() ?? "utf-8";
  } catch {
    return "utf-8";
  }
}
