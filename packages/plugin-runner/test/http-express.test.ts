/**
 * The same handlers and the same requests, once in a worker and once in a real Express 5 with
 * `express.json()` and `express.urlencoded({ extended: true })`: the answers must be the same.
 */
import { gzipSync, brotliCompressSync, deflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { expressTwin, routesPlugin, type TwinRoute } from "./support/express-twin.js";
import { type Answer, fetchFrom, type RequestOptions } from "./support/http-client.js";
import { NODES } from "./support/nodes.js";
import { TestWorker } from "./support/test-worker.js";

const json = { "content-type": "application/json" };
const form = { "content-type": "application/x-www-form-urlencoded" };

/** A handler, and the requests that it is asked with. */
type Case = [name: string, route: TwinRoute, ...requests: RequestOptions[]];

const get = (handler: string, path = "/r"): TwinRoute => ({ method: "GET", path, handler });
const post = (handler: string, path = "/r"): TwinRoute => ({ method: "POST", path, handler });
const ECHO_BODY = `(req, res) => res.json({ body: req.body ?? {} })`;

const CASES: Case[] = [
  // Answers.
  ["json", get(`(req, res) => res.json({ a: [1, "é", null], b: undefined })`), { path: "/r" }],
  ["json of nothing", get(`(req, res) => res.json()`), { path: "/r" }],
  ["json of null", get(`(req, res) => res.json(null)`), { path: "/r" }],
  [
    "json with its own type",
    get(`(req, res) => res.type("application/vnd.x+json").json({})`),
    { path: "/r" },
  ],
  [
    "status and json",
    post(`(req, res) => res.status(201).json({ ok: true })`),
    { method: "POST", path: "/r" },
  ],
  [
    "status that is none",
    get(`(req, res) => { try { res.status("200"); } catch (e) { res.send(e.name + e.message); } }`),
    { path: "/r" },
  ],
  [
    "status out of range",
    get(`(req, res) => { try { res.status(99); } catch (e) { res.send(e.name + e.message); } }`),
    { path: "/r" },
  ],
  [
    "sendStatus",
    get(`(req, res) => res.sendStatus(Number(req.query.s))`),
    { path: "/r?s=200" },
    { path: "/r?s=204" },
    { path: "/r?s=404" },
    { path: "/r?s=418" },
    { path: "/r?s=799" },
  ],
  [
    "text",
    get(`(req, res) => res.send("<p>é</p>")`),
    { path: "/r" },
    { path: "/r", method: "HEAD" },
  ],
  ["empty text", get(`(req, res) => res.send("")`), { path: "/r" }],
  [
    "text with a type",
    get(`(req, res) => res.set("Content-Type", "text/plain; charset=latin1").send("x")`),
    { path: "/r" },
  ],
  [
    "text with a bare type",
    get(`(req, res) => res.set("content-type", "text/xml").send("x")`),
    { path: "/r" },
  ],
  ["bytes", get(`(req, res) => res.send(Buffer.from([0, 1, 255]))`), { path: "/r" }],
  ["a typed array", get(`(req, res) => res.send(new Uint8Array([1, 2]))`), { path: "/r" }],
  [
    "bytes with a type",
    get(`(req, res) => res.type("png").send(Buffer.from("x"))`),
    { path: "/r" },
  ],
  ["an object", get(`(req, res) => res.send({ a: 1 })`), { path: "/r" }],
  ["a number", get(`(req, res) => res.send(7)`), { path: "/r" }],
  ["a boolean", get(`(req, res) => res.send(false)`), { path: "/r" }],
  ["null", get(`(req, res) => res.send(null)`), { path: "/r" }],
  ["nothing", get(`(req, res) => res.send()`), { path: "/r" }],
  ["204", get(`(req, res) => res.status(204).send("ignored")`), { path: "/r" }],
  ["205", get(`(req, res) => res.status(205).send("ignored")`), { path: "/r" }],
  ["end", get(`(req, res) => res.status(202).end("raw")`), { path: "/r" }],
  [
    "a stream of writes",
    get(
      `(req, res) => { res.type("text/plain"); res.write("a"); setImmediate(() => { res.write("b"); res.end("c"); }); }`,
    ),
    { path: "/r" },
  ],
  [
    "headersSent",
    get(
      `(req, res) => { const before = res.headersSent; res.write("x"); res.end(String([before, res.headersSent])); }`,
    ),
    { path: "/r" },
  ],
  [
    "freshness",
    get(`(req, res) => res.set("ETag", '"v1"').send("x")`),
    { path: "/r", headers: { "if-none-match": '"v1"' } },
    { path: "/r", headers: { "if-none-match": '"v2"' } },
  ],
  [
    "freshness by date",
    get(
      `(req, res) => res.set("Last-Modified", "Tue, 01 Jan 2030 00:00:00 GMT").send(String(req.stale))`,
    ),
    { path: "/r", headers: { "if-modified-since": "Tue, 01 Jan 2030 00:00:00 GMT" } },
  ],
  // Headers of answers.
  [
    "set of one, many, lists",
    get(
      `(req, res) => res.set("X-A", 1).header({ "X-B": "b", "X-C": ["1", "2"] }).send(String(res.get("x-a")))`,
    ),
    { path: "/r" },
  ],
  [
    "type by name",
    get(`(req, res) => res.type(req.query.t).end()`),
    { path: "/r?t=html" },
    { path: "/r?t=json" },
    { path: "/r?t=.png" },
    { path: "/r?t=txt" },
    { path: "/r?t=nope" },
    { path: "/r?t=text/css" },
    { path: "/r?t=js" },
    { path: "/r?t=csv" },
    { path: "/r?t=pdf" },
    { path: "/r?t=xml" },
  ],
  [
    "append",
    get(
      `(req, res) => res.append("X-A", "1").append("X-A", ["2", "3"]).append("Set-Cookie", "a=1").append("Set-Cookie", "b=2").end()`,
    ),
    { path: "/r" },
  ],
  [
    "vary",
    get(`(req, res) => res.vary("Accept").vary(["Origin", "accept"]).end()`),
    { path: "/r" },
  ],
  [
    "links",
    get(`(req, res) => res.links({ next: "/2", last: ["/5", "/6"] }).links({ prev: "/0" }).end()`),
    { path: "/r" },
  ],
  ["location", get(`(req, res) => res.location("/a b?é").end()`), { path: "/r" }],
  [
    "redirect",
    get(`(req, res) => res.redirect("/next?a=<b>")`),
    { path: "/r" },
    { path: "/r", headers: { accept: "text/html" } },
    { path: "/r", headers: { accept: "text/plain" } },
    { path: "/r", headers: { accept: "image/png" } },
    { path: "/r", method: "HEAD" },
  ],
  [
    "redirect with a status",
    get(`(req, res) => res.redirect(301, "https://x.test/")`),
    { path: "/r", headers: { accept: "text/html" } },
  ],
  [
    "cookies",
    get(
      `(req, res) => res.cookie("a", "b c").cookie("j", { x: 1 }).cookie("o", "1", { httpOnly: true, secure: true, sameSite: "strict", domain: "x.test", path: "/p" }).clearCookie("gone").clearCookie("at", { path: "/p", maxAge: 5 }).end()`,
    ),
    { path: "/r" },
  ],
  [
    "attachment",
    get(`(req, res) => res.attachment(req.query.f).end("x")`),
    { path: "/r" },
    { path: "/r?f=report.csv" },
    { path: "/r?f=r%C3%A9sum%C3%A9.pdf" },
  ],
  [
    "format",
    get(
      `(req, res) => res.format({ "text/plain": () => res.send("t"), html: () => res.send("h"), json: () => res.send({ j: 1 }) })`,
    ),
    { path: "/r" },
    { path: "/r", headers: { accept: "application/json" } },
    { path: "/r", headers: { accept: "text/html;q=0.5, text/plain" } },
  ],
  [
    "format with a default",
    get(`(req, res) => res.format({ json: () => res.send("j"), default: () => res.send("d") })`),
    { path: "/r", headers: { accept: "image/png" } },
  ],
  ["locals", get(`(req, res) => { res.locals.a = 1; res.json(res.locals); }`), { path: "/r" }],
  // Requests.
  [
    "what a request says",
    get(
      `(req, res) => res.json([req.method, req.path, req.url, req.originalUrl, req.baseUrl, req.hostname, req.host, req.protocol, req.secure, req.xhr, req.subdomains])`,
    ),
    { path: "/r?a=1" },
    { path: "/R/?a=1", headers: { "x-requested-with": "XMLHttpRequest", host: "a.b.x.test" } },
    { path: "/r", headers: { host: "[::1]:80" } },
  ],
  [
    "headers",
    get(
      `(req, res) => res.json([req.get("X-A"), req.header("x-a"), req.get("referrer"), req.get("absent") ?? null, req.headers["x-a"]])`,
    ),
    { path: "/r", headers: { "x-a": "1", referer: "/from" } },
  ],
  [
    "header without a name",
    get(`(req, res) => { try { req.get(); } catch (e) { res.send(e.name); } }`),
    { path: "/r" },
  ],
  [
    "query",
    get(`(req, res) => res.json(req.query)`),
    ...[
      "",
      "?",
      "?a=1&a=2&b=",
      "?a[b]=c",
      "?q=%C3%A9+x&bad=%zz",
      "?__proto__=1&constructor=2",
      "?a=b=c",
      "?a#frag",
    ].map((query) => ({ path: `/r${query}` })),
  ],
  [
    "query without a prototype",
    get(`(req, res) => res.send(String(Object.getPrototypeOf(req.query) === null))`),
    { path: "/r?a=1" },
  ],
  [
    "accepts",
    get(
      `(req, res) => res.json([req.accepts("json"), req.accepts("html", "json"), req.accepts(["png"]), req.accepts(), req.acceptsEncodings("gzip", "br"), req.acceptsLanguages("de", "en"), req.acceptsCharsets("utf-8")])`,
    ),
    { path: "/r" },
    {
      path: "/r",
      headers: {
        accept: "application/json, text/*;q=0.5",
        "accept-encoding": "br",
        "accept-language": "en-GB, en",
      },
    },
  ],
  [
    "is",
    post(
      `(req, res) => res.json([req.is("json"), req.is("text/*"), req.is(["html", "application/*"]), req.is("urlencoded")])`,
    ),
    { method: "POST", path: "/r", headers: json, body: "{}" },
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "text/html; charset=utf-8" },
      body: "x",
    },
    { method: "POST", path: "/r" },
  ],
  [
    "range",
    get(`(req, res) => res.json([req.range(100) ?? null])`),
    { path: "/r" },
    { path: "/r", headers: { range: "bytes=0-9,20-" } },
    { path: "/r", headers: { range: "bytes=200-" } },
  ],
  // Bodies.
  [
    "a JSON body",
    post(ECHO_BODY),
    ...['{"a":1}', "[1,2]", "", " \n{}", '{"__proto__":{"x":1}}', '{"a":"\u00e9"}'].map((body) => ({
      method: "POST",
      path: "/r",
      headers: json,
      body,
    })),
  ],
  [
    "a broken JSON body",
    post(`(req, res) => res.json({})`),
    ...["{", '"text"', "1", "null", "{'a':1}", "[".repeat(100_000)].map((body) => ({
      method: "POST",
      path: "/r",
      headers: json,
      body,
    })),
  ],
  [
    "a JSON body by another name",
    post(ECHO_BODY),
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "Application/JSON; charset=UTF-8" },
      body: '{"a":1}',
    },
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/vnd.api+json" },
      body: '{"a":1}',
    },
  ],
  [
    "charsets",
    post(ECHO_BODY),
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/json; charset=utf-16" },
      body: Buffer.from('{"a":"é"}', "utf16le"),
    },
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/json; charset=latin1" },
      body: "{}",
    },
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/x-www-form-urlencoded; charset=iso-8859-1" },
      body: "a=%E9",
    },
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/x-www-form-urlencoded; charset=koi8-r" },
      body: "a=1",
    },
    {
      method: "POST",
      path: "/r",
      headers: json,
      body: Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from("{}")]),
    },
  ],
  [
    "a form",
    post(ECHO_BODY),
    ...[
      "a=1&b=2",
      "a[b][c]=1&a[b][d]=2",
      "l[]=1&l[]=2",
      "l[0]=a&l[1]=b",
      "a=1&a=2",
      "q=%C3%A9+x",
      "",
      "__proto__[x]=1&constructor=2",
      "a%5B=1",
      Array.from({ length: 150 }, (_, index) => `l[]=${index}`).join("&"),
    ].map((body) => ({ method: "POST", path: "/r", headers: form, body })),
  ],
  [
    "too much of a form",
    post(ECHO_BODY),
    { method: "POST", path: "/r", headers: form, body: "a&".repeat(1001) },
    { method: "POST", path: "/r", headers: form, body: `a${"[b]".repeat(40)}=1` },
  ],
  [
    "compressed bodies",
    post(ECHO_BODY),
    {
      method: "POST",
      path: "/r",
      headers: { ...json, "content-encoding": "gzip" },
      body: gzipSync('{"z":1}'),
    },
    {
      method: "POST",
      path: "/r",
      headers: { ...json, "content-encoding": "br" },
      body: brotliCompressSync('{"z":1}'),
    },
    {
      method: "POST",
      path: "/r",
      headers: { ...form, "content-encoding": "deflate" },
      body: deflateSync("z=1"),
    },
    {
      method: "POST",
      path: "/r",
      headers: { ...json, "content-encoding": "gzip" },
      body: "not gzip",
    },
    { method: "POST", path: "/r", headers: { ...json, "content-encoding": "magic" }, body: "{}" },
  ],
  [
    "bodies of other types",
    post(ECHO_BODY),
    { method: "POST", path: "/r", headers: { "content-type": "text/plain" }, body: "x" },
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/octet-stream" },
      body: "x",
    },
    { method: "POST", path: "/r", body: "x" },
    { method: "POST", path: "/r" },
  ],
  [
    "a body that the handler reads itself",
    post(
      `async (req, res) => { let n = 0; for await (const part of req) n += part.length; res.send(String(n)); }`,
    ),
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "text/plain" },
      body: "x".repeat(300_000),
    },
    {
      method: "POST",
      path: "/r",
      headers: { "content-type": "application/octet-stream" },
      body: "x".repeat(300_000),
    },
  ],
  // Routes.
  [
    "parameters",
    get(`(req, res) => res.json(req.params)`, "/orders/:id/items/:item"),
    { path: "/orders/7/items/a%2Fb" },
    { path: "/ORDERS/7/Items/x/" },
    { path: "/orders/7/items/%C3%A9" },
    { path: "/orders/7/items/%zz" },
    { path: "/orders/7/items/%ff" },
    { path: "/orders//items/x" },
    { path: "/orders/7/items" },
  ],
  [
    "the rest of a path",
    get(`(req, res) => res.json(req.params)`, "/files/*path"),
    { path: "/files/a" },
    { path: "/files/a/b%20c/d" },
    { path: "/files/" },
    { path: "/files" },
    { path: "/files/a/%zz" },
  ],
  [
    "the root",
    get(`(req, res) => res.send("root")`, "/"),
    { path: "/" },
    { path: "/?a=1" },
    { path: "/x" },
  ],
  [
    "a trailing slash in the pattern",
    get(`(req, res) => res.send("ok")`, "/a/"),
    { path: "/a" },
    { path: "/a/" },
    { path: "/a/b" },
  ],
  [
    "names of the prototype",
    get(
      `(req, res) => res.json([Object.getPrototypeOf(req.params) === null, req.params])`,
      "/p/:toString",
    ),
    { path: "/p/__proto__" },
  ],
  ["OPTIONS", get(`(req, res) => res.send("x")`), { method: "OPTIONS", path: "/r" }],
  // Errors.
  [
    "a handler that throws",
    get(`() => { throw new Error("secret detail"); }`),
    { path: "/r" },
    { path: "/r", method: "HEAD" },
  ],
  [
    "a handler that rejects",
    get(`async () => { throw new Error("secret detail"); }`),
    { path: "/r" },
  ],
  ["a handler that rejects with nothing", get(`() => Promise.reject()`), { path: "/r" }],
  [
    "an error with a status",
    get(
      `(req, res, next) => next(Object.assign(new Error("no"), { status: Number(req.query.s) }))`,
    ),
    { path: "/r?s=400" },
    { path: "/r?s=403" },
    { path: "/r?s=503" },
    { path: "/r?s=200" },
    { path: "/r?s=700" },
  ],
  [
    "an error after headers were set",
    get(`(req, res, next) => { res.set("X-Leak", "1").status(201); next(new Error("x")); }`),
    { path: "/r" },
  ],
  ["a handler that passes the request on", get(`(req, res, next) => next()`), { path: "/r" }],
  [
    "format that nobody accepts",
    get(`(req, res) => res.format({ json: () => res.send("j") })`),
    { path: "/r", headers: { accept: "image/png" } },
  ],
  // Files.
  [
    "a file",
    get(`(req, res) => res.sendFile("/etc/hostname", { headers: { "X-F": "1" } })`),
    { path: "/r" },
    { path: "/r", headers: { range: "bytes=0-1" } },
    { path: "/r", headers: { range: "bytes=9999-" } },
    { path: "/r", method: "HEAD" },
  ],
  [
    "a file under a root",
    get(`(req, res) => res.sendFile(req.query.f, { root: "/etc" })`),
    { path: "/r?f=hostname" },
    { path: "/r?f=../etc/hostname" },
    { path: "/r?f=absent" },
    { path: "/r?f=ssl" },
  ],
  [
    "a file with a callback",
    get(`(req, res) => res.sendFile("/absent", (error) => res.status(404).send(error.code))`),
    { path: "/r" },
  ],
  [
    "a relative file",
    get(`(req, res) => { try { res.sendFile("x"); } catch (e) { res.send(e.message); } }`),
    { path: "/r" },
  ],
  ["a download", get(`(req, res) => res.download("/etc/hostname", "host.txt")`), { path: "/r" }],
];

/** What may differ, and why. */
function comparable(answer: Answer, method: string): object {
  const headers: Record<string, unknown> = { ...answer.headers };
  // Connections are the host's business, and the time passes.
  for (const name of ["date", "connection", "keep-alive"]) Reflect.deleteProperty(headers, name);
  // An entity tag is only of use where a cache may ask for it.
  if (method !== "GET" && method !== "HEAD") Reflect.deleteProperty(headers, "etag");
  if (answer.status < 400 || !isErrorPage(answer))
    return { status: answer.status, headers, body: answer.body };
  // Errors that no handler wrote: problem details here, an HTML page there.
  return { status: answer.status };
}

function isErrorPage({ headers, body }: Answer): boolean {
  if (headers["content-type"]?.startsWith("application/problem+json") === true) return true;
  // A HEAD request shows only the headers that Express's final handler sets.
  return headers["content-security-policy"] !== undefined || body.includes("<title>Error</title>");
}

describe.each(NODES)("on Node $version, as in Express", ({ binary: node }) => {
  it.each(CASES)("%s", async (_, route, ...requests) => {
    const [twin, worker] = await Promise.all([
      expressTwin([route]),
      TestWorker.bound({ node, plugin: routesPlugin([route]) }),
    ]);
    for (const request of requests) {
      const [theirs, ours] = await Promise.all([
        fetchFrom(twin, request),
        fetchFrom(worker.socketPath, request),
      ]);
      const method = request.method ?? "GET";
      expect({ request, ...comparable(ours, method) }).toEqual({
        request,
        ...comparable(theirs, method),
      });
      expect(ours.body).not.toContain("secret detail");
    }
  });
});
