/**
 * Serves a plugin's routes: finds the handlers of a request, reads its body, answers what no handler
 * answers.
 *
 * Loaded when the first connection arrives; everything that needs `node:http` is behind this module.
 */
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import type { HayLogger, RegisteredRoute } from "@hay/plugin-sdk/host";
import { messageOf } from "../wire-error.js";
import { hasBody, isHeld, parseBody } from "./body.js";
import { HttpError, toProblem } from "./http-error.js";
import { RouteRequest } from "./request.js";
import { RouteResponse } from "./response.js";
import { type RouteMatch, RouteTable } from "./route-table.js";

const HEALTH: RegisteredRoute = {
  method: "GET",
  path: "/health",
  handler: (_req, res) => {
    res.json({ status: "ok" });
  },
};

function tableOf(routes: readonly RegisteredRoute[]): RouteTable {
  // Last, so that a plugin's own `/health` comes first.
  return new RouteTable([...routes, HEALTH]);
}

type Handler = (req: RouteRequest, res: RouteResponse, next: (error?: unknown) => void) => unknown;

export class RouteServer {
  #table: RouteTable;
  readonly #logger: HayLogger;
  readonly #server: Server<typeof RouteRequest, typeof RouteResponse>;
  readonly #sockets = new Set<Socket>();
  #running = 0;
  #idle: (() => void) | null = null;

  constructor(routes: readonly RegisteredRoute[], logger: HayLogger) {
    this.#table = tableOf(routes);
    this.#logger = logger;
    this.#server = createServer(
      {
        IncomingMessage: RouteRequest,
        ServerResponse: RouteResponse,
        // The host pools connections. A worker that closes an idle one would break the request
        // that is on its way.
        keepAliveTimeout: 0,
        headersTimeout: 0,
        requestTimeout: 0,
        noDelay: true,
      },
      (req, res) => {
        this.#receive(req, res);
      },
    );
  }

  /** Serves these routes from the next request on. */
  replace(routes: readonly RegisteredRoute[]): void {
    this.#table = tableOf(routes);
  }

  /** Serves the requests of one connection. */
  accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    this.#server.emit("connection", socket);
  }

  /** Lets running requests end within the given time, then closes every connection. */
  async close(milliseconds: number): Promise<void> {
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
        // eslint-disable-next-line no-restricted-globals -- a deadline
        setTimeout(resolve, milliseconds);
      });
    }
    for (const socket of this.#sockets) socket.destroy();
  }

  #receive(req: RouteRequest, res: RouteResponse): void {
    req.res = res;
    this.#running += 1;
    res.once("close", () => {
      this.#running -= 1;
      if (this.#running === 0) this.#idle?.();
    });
    try {
      const lookup = this.#table.find(req.method ?? "GET", req.path);
      if (lookup.kind === "found") this.#readBody(req, res, lookup.matches);
      else if (lookup.kind === "unknown") this.#notFound(req, res);
      else if (req.method === "OPTIONS") this.#options(res, lookup.allow);
      else {
        res.setHeader("Allow", lookup.allow);
        this.#fail(req, res, new HttpError(405, `the path has no ${String(req.method)}`));
      }
    } catch (error) {
      this.#fail(req, res, error);
    }
  }

  #readBody(req: RouteRequest, res: RouteResponse, matches: RouteMatch[]): void {
    if (!hasBody(req.headers) || !isHeld(req.headers)) {
      this.#run(req, res, matches);
      return;
    }
    req.hold((bytes) => {
      req.rawBody = bytes;
      parseBody(req.headers, bytes).then(
        (body) => {
          req.body = body;
          this.#run(req, res, matches);
        },
        (error: unknown) => {
          this.#fail(req, res, error);
        },
      );
    });
  }

  /** Runs the handlers of a path in the order of registration, as far as they pass the request on. */
  #run(req: RouteRequest, res: RouteResponse, matches: RouteMatch[]): void {
    let position = 0;
    const next = (error?: unknown): void => {
      if (error !== undefined && error !== null && error !== "route" && error !== "router") {
        this.#fail(req, res, error);
        return;
      }
      const match = matches[position++];
      if (match === undefined) {
        this.#notFound(req, res);
        return;
      }
      req.params = match.params;
      req.route = match.route;
      try {
        const result = (match.route.handler as Handler)(req, res, next);
        if (result instanceof Promise) {
          result.catch((reason: unknown) => {
            next(reason ?? new Error("the handler rejected without a reason"));
          });
        }
      } catch (thrown) {
        next(thrown ?? new Error("the handler threw nothing"));
      }
    };
    req.next = next;
    next();
  }

  #notFound(req: RouteRequest, res: RouteResponse): void {
    this.#fail(req, res, new HttpError(404, `no route for ${String(req.method)} ${req.path}`));
  }

  #options(res: RouteResponse, allow: string): void {
    res.setHeader("Allow", allow);
    res.setHeader("Content-Type", "text/plain");
    res.setHeader("Content-Length", Buffer.byteLength(allow));
    res.setHeader("X-Content-Type-Options", "nosniff");
    res.end(allow);
  }

  /** Answers an error, and logs it where a handler caused it. */
  #fail(req: RouteRequest, res: RouteResponse, error: unknown): void {
    const problem = toProblem(error);
    if (problem.status >= 500) {
      const place = `${String(req.method)} ${req.route?.path ?? req.path}`;
      this.#logger.error(`route \`${place}\` failed: ${messageOf(error)}`, error);
    }
    if (res.headersSent) {
      // What was sent looks like success; only a broken connection can still say otherwise.
      if (!res.writableEnded) req.socket.destroy();
      return;
    }
    for (const name of res.getHeaderNames()) {
      if (name !== "allow") res.removeHeader(name);
    }
    const { headers } = Object(error) as { headers?: unknown };
    if (typeof headers === "object" && headers !== null && problem.status < 500) {
      res.set(headers as Record<string, string>);
    }
    const body = Buffer.from(JSON.stringify(problem));
    res.statusCode = problem.status;
    res.setHeader("Content-Type", "application/problem+json");
    res.setHeader("Content-Length", body.length);
    res.end(req.method === "HEAD" ? undefined : body);
  }
}
