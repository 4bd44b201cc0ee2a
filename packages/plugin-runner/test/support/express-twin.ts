/** The same routes in a real Express 5, to compare answers with. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import express from "express";
import { onTestFinished } from "vitest";

export interface TwinRoute {
  method: string;
  path: string;
  /** The source of the handler: it runs in a worker and here. */
  handler: string;
}

/** Serves the routes as a plugin's author would with Express, and gives the socket's path. */
export async function expressTwin(routes: TwinRoute[]): Promise<string> {
  const app = express();
  // Logs nothing of the errors that handlers cause on purpose.
  app.set("env", "test");
  app.disable("x-powered-by");
  app.use(express.json(), express.urlencoded({ extended: true }));
  for (const { method, path, handler } of routes) {
    // The handler is a text because the worker gets the same one.
    // eslint-disable-next-line @typescript-eslint/no-implied-eval
    const run = new Function(`return (${handler});`)() as express.RequestHandler;
    app[method.toLowerCase() as "get"](path, run);
  }
  const folder = mkdtempSync(join(tmpdir(), "hayloft-express-"));
  const socketPath = join(folder, "express");
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return socketPath;
}

/** The body of a plugin's factory that registers the routes. */
export function routesPlugin(routes: TwinRoute[]): string {
  const calls = routes.map(
    ({ method, path, handler }) =>
      `ctx.register.route(${JSON.stringify(method)}, ${JSON.stringify(path)}, ${handler});`,
  );
  return `return { name: "Routes", onInitialize() { ${calls.join("\n")} } };`;
}
