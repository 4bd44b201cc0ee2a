/** Plain HTTP/1.1 requests over a unix socket, with the whole answer. */
import type { Agent } from "node:http";
import { type IncomingHttpHeaders, request } from "node:http";

export interface RequestOptions {
  method?: string;
  path: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
  agent?: Agent;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  bytes: Buffer;
}

export function fetchFrom(socketPath: string, options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = "GET", path, headers = {}, body, agent } = options;
    const sent =
      body === undefined
        ? headers
        : { "content-length": String(Buffer.byteLength(body)), ...headers };
    let answer: Answer | undefined;
    const req = request(
      { socketPath, method, path, headers: { host: "plugin.test:8080", ...sent }, agent },
      (res) => {
        const chunks: Buffer[] = [];
        res.on("data", (chunk: Buffer) => chunks.push(chunk));
        res.on("error", reject);
        res.on("end", () => {
          const bytes = Buffer.concat(chunks);
          answer = {
            status: res.statusCode ?? 0,
            headers: res.headers,
            body: bytes.toString(),
            bytes,
          };
        });
      },
    );
    req.on("error", reject);
    // An answer may come before the request has left completely; both are over now.
    req.on("close", () => {
      if (answer === undefined) reject(new Error("the connection closed without an answer"));
      else resolve(answer);
    });
    req.end(body);
  });
}
