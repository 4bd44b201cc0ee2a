/** Files as responses: ranges, freshness and types as Express has them. */
import type { RouteRequest } from "./request.js";
import type { RouteResponse } from "./response.js";

export interface FileOptions {
  root?: string;
  headers?: Record<string, string>;
  maxAge?: number | string;
  lastModified?: boolean;
  acceptRanges?: boolean;
  cacheControl?: boolean;
  immutable?: boolean;
  dotfiles?: "allow" | "deny" | "ignore";
}

/** Resolves when the whole file has left; rejects when it cannot be sent, or the client is gone. */
export async function sendFile(
  req: RouteRequest,
  res: RouteResponse,
  file: string,
  options: FileOptions,
): Promise<void> {
  const { default: send } = await import("send");
  const { headers, ...rest } = options;
  await new Promise<void>((resolve, reject) => {
    const stream = send(req, encodeURI(file), rest);
    stream.on("error", reject);
    stream.on("directory", () => {
      reject(Object.assign(new Error(`\`${file}\` is a folder`), { code: "EISDIR" }));
    });
    if (headers !== undefined) {
      stream.on("headers", () => {
        for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
      });
    }
    res.once("finish", resolve);
    res.once("close", () => {
      reject(Object.assign(new Error("the client is gone"), { code: "ECONNABORTED" }));
    });
    stream.pipe(res);
  });
}
