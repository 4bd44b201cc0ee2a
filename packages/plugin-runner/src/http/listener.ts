/**
 * Listens on the socket for plugin routes and brings up HTTP when the first connection asks for it.
 *
 * `node:http` costs start time and memory that a plugin without routes never needs: until somebody
 * connects there is only a listening socket.
 */
import type { Server, Socket } from "node:net";
import type { HayLogger, RegisteredRoute } from "@hay/plugin-sdk/host";
import { messageOf } from "../wire-error.js";
import type { RouteServer } from "./server.js";

/**
 * How long a worker without routes waits before it listens: time for its first calls. All that can
 * be asked of it here is its health, and who connects meanwhile waits in the socket's queue.
 */
const NO_ROUTES_DELAY_MS = 200;

export interface RouteListenerOptions {
  readonly fd: number;
  readonly routes: readonly RegisteredRoute[];
  readonly logger: HayLogger;
}

export class RouteListener {
  readonly #options: RouteListenerOptions;
  #routes: readonly RegisteredRoute[];
  #listener: Server | null = null;
  #timer: NodeJS.Timeout | null = null;
  #server: Promise<RouteServer> | null = null;
  #closed = false;

  constructor(options: RouteListenerOptions) {
    this.#options = options;
    this.#routes = options.routes;
  }

  /** Listens soon: what comes first, and is measured, is that the worker is ready. */
  start(): void {
    const listen = () => {
      this.#listen();
    };
    if (this.#routes.length > 0) {
      setImmediate(listen);
      return;
    }
    // eslint-disable-next-line no-restricted-globals -- the worker is ready by then, and calls come first
    this.#timer = setTimeout(listen, NO_ROUTES_DELAY_MS);
  }

  /** Serves these routes from the next request on. */
  replace(routes: readonly RegisteredRoute[]): void {
    this.#routes = routes;
    void this.#server?.then((server) => {
      server.replace(routes);
    });
    if (routes.length > 0 && this.#listener === null && this.#timer !== null) this.#listen();
  }

  /** Takes no more connections, lets running requests end within the given time, then closes. */
  async close(milliseconds: number): Promise<void> {
    this.#closed = true;
    this.#listener?.close();
    if (this.#server !== null) await (await this.#server).close(milliseconds);
  }

  #listen(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#closed || this.#listener !== null) return;
    const { fd, logger } = this.#options;
    const { createServer } = process.getBuiltinModule("node:net");
    this.#listener = createServer((socket) => {
      this.#accept(socket);
    });
    this.#listener.on("error", (error) => {
      logger.error(`routes cannot be served: ${messageOf(error)}`);
    });
    this.#listener.listen({ fd });
    // A plugin with routes is about to be asked for one.
    if (this.#routes.length > 0) void this.#load();
  }

  #accept(socket: Socket): void {
    this.#load().then(
      (server) => {
        server.accept(socket);
      },
      (error: unknown) => {
        this.#options.logger.error(`routes cannot be served: ${messageOf(error)}`);
        socket.destroy();
      },
    );
  }

  #load(): Promise<RouteServer> {
    this.#server ??= import("./server.js").then(
      ({ RouteServer }) => new RouteServer(this.#routes, this.#options.logger),
    );
    return this.#server;
  }
}
