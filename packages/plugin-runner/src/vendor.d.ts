/**
 * The small packages that Express is made of, as far as the runner uses them. They are bundled, so
 * that the same input gives the same output as Express gives.
 */
declare module "accepts" {
  interface Accepts {
    types(...types: string[]): string | string[] | false;
    encodings(...encodings: string[]): string | string[] | false;
    charsets(...charsets: string[]): string | string[] | false;
    languages(...languages: string[]): string | string[] | false;
  }
  function accepts(req: object): Accepts;
  export = accepts;
}
declare module "content-disposition" {
  const contentDisposition: { create(filename?: string): string };
  export = contentDisposition;
}
declare module "content-type" {
  interface ParsedMediaType {
    type: string;
    parameters: Record<string, string>;
  }
  const contentType: {
    parse(header: string): ParsedMediaType;
    format(parsed: ParsedMediaType): string;
  };
  export = contentType;
}
declare module "cookie" {
  const cookie: { serialize(name: string, value: string, options: object): string };
  export = cookie;
}
declare module "encodeurl" {
  function encodeUrl(url: string): string;
  export = encodeUrl;
}
declare module "escape-html" {
  function escapeHtml(text: string): string;
  export = escapeHtml;
}
declare module "fresh" {
  function fresh(requestHeaders: object, responseHeaders: object): boolean;
  export = fresh;
}
declare module "mime-types" {
  const mime: {
    contentType(type: string): string | false;
    lookup(extension: string): string | false;
  };
  export = mime;
}
declare module "qs/lib/parse" {
  function parseQueryString(text: string, options: object): unknown;
  export = parseQueryString;
}
declare module "range-parser" {
  function parseRange(size: number, header: string, options?: object): unknown;
  export = parseRange;
}
declare module "send" {
  import type { EventEmitter } from "node:events";
  interface SendStream extends EventEmitter {
    pipe(response: object): void;
  }
  function send(req: object, path: string, options: object): SendStream;
  export = send;
}
declare module "type-is" {
  function typeIs(req: object, types: string[]): string | false | null;
  export = typeIs;
}
declare module "vary" {
  function vary(res: object, field: string | string[]): void;
  export = vary;
}
