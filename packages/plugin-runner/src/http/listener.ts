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
  #listener: Server | null = null;
  #server: Promise<RouteServer> | null = null;
  #closed = false;

  constructor(options: RouteListenerOptions) {
    this.#options = options;
  }

  /** Listens soon: what comes first, and is measured, is that the worker is ready. */
  start(): void {
    const listen = () => {
      this.#listen();
    };
    if (this.#options.routes.length > 0) setImmediate(listen);
    else setTimeout(listen, NO_ROUTES_DELAY_MS);
  }

  /** Takes no more connections, lets running requests end within the given time, then closes. */
  async close(milliseconds: number): Promise<void> {
    this.#closed = true;
    this.#listener?.close();
    if (this.#server !== null) await (await this.#server).close(milliseconds);
  }

  #listen(): void {
    if (this.#closed) return;
    const { fd, routes, logger } = this.#options;
    const { createServer } = process.getBuiltinModule("node:net");
    this.#listener = createServer((socket) => {
      this.#accept(socket);
    });
    this.#listener.on("error", (error) => {
      logger.error(`routes cannot be served: ${messageOf(error)}`);
    });
    this.#listener.listen({ fd });
    // A plugin with routes is about to be asked for one.
    if (routes.length > 0) void this.#load();
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
      ({ RouteServer }) => new RouteServer(this.#options.routes, this.#options.logger),
    );
    return this.#server;
  }
}
