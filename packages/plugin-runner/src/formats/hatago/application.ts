/** Between a worker's routes and a plugin's application, which knows requests as the Web has them. */
import type { Readable, Writable } from "node:stream";
import type { ApplicationRoute } from "@hatago/core/host";
import type { RegisteredRoute } from "@hay/plugin-sdk/host";

interface IncomingRequest extends Readable {
  method: string;
  url: string;
  headers: Record<string, string | string[] | undefined>;
  rawBody?: Uint8Array;
}

interface OutgoingResponse extends Writable {
  statusCode: number;
  setHeader(name: string, value: string | string[]): void;
}

/** The routes of an application, answered by `fetch`. */
export function routesOf(
  routes: readonly ApplicationRoute[],
  fetch: (request: Request) => Promise<Response>,
): RegisteredRoute[] {
  const handler = async (req: unknown, res: unknown) => {
    const answer = await fetch(toRequest(req as IncomingRequest));
    await send(answer, res as OutgoingResponse);
  };
  return routes.map(({ method, path }) => ({ method, path, handler }));
}

function toRequest(req: IncomingRequest): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(req.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one);
  }
  const host = headers.get("host") ?? "plugin";
  const hasBody = req.method !== "GET" && req.method !== "HEAD";
  const { Readable } = process.getBuiltinModule("node:stream");
  const body = (req.rawBody ?? Readable.toWeb(req)) as NonNullable<RequestInit["body"]>;
  return new Request(`http://${host}${req.url}`, {
    method: req.method,
    headers,
    ...(hasBody ? { body, duplex: "half" } : {}),
  });
}

async function send(answer: Response, res: OutgoingResponse): Promise<void> {
  res.statusCode = answer.status;
  for (const [name, value] of answer.headers) {
    if (name !== "set-cookie") res.setHeader(name, value);
  }
  const cookies = answer.headers.getSetCookie();
  if (cookies.length > 0) res.setHeader("set-cookie", cookies);
  if (answer.body === null) {
    res.end();
    return;
  }
  const { Readable } = process.getBuiltinModule("node:stream");
  const { pipeline } = process.getBuiltinModule("node:stream/promises");
  await pipeline(Readable.fromWeb(answer.body), res);
}
