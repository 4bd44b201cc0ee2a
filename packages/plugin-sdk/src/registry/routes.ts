/** Checks `register.route`. */

import type { HttpMethod, RouteAccess, RouteHandler } from "../types/http.js";
import type { RouteMetadata } from "../types/metadata.js";
import { described } from "./described.js";
import type { Problems } from "./problems.js";
import { listed, Reader } from "./reader.js";
import { parseRoutePattern } from "./route-pattern.js";

/** A route that is ready to be served. */
export interface RegisteredRoute {
  readonly method: HttpMethod;
  readonly path: string;
  readonly handler: RouteHandler;
  /** Who may call, where the plugin says it. */
  readonly access?: RouteAccess;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const satisfies HttpMethod[];

// What a worker's host asks for under these paths is not the plugin's to answer.
const CONTROL_PATHS = [
  "/metadata",
  "/validate-auth",
  "/on-connected",
  "/config-update",
  "/disable",
];
const CONTROL_FOLDERS = ["/cron/", "/mcp/"];

/** The routes that a plugin registered so far. */
export class Routes {
  readonly #routes: RegisteredRoute[] = [];
  readonly #shapes = new Map<string, string>();
  #calls = 0;

  constructor(private readonly problems: Problems) {}

  /** The routes, in the order of registration. */
  get list(): readonly RegisteredRoute[] {
    return this.#routes;
  }

  /** Takes one call of `register.route`. */
  add(givenMethod: unknown, path: unknown, handler: unknown, options?: unknown): void {
    const at = `register.route[${this.#calls++}]`;
    const method = this.#method(givenMethod, at);
    const isPathGood = this.#checkPath(method, path, at);
    const access = this.#access(options, at);
    if (typeof handler !== "function") {
      this.problems.add(
        `${at}.handler`,
        `must be a function, but got ${described(handler)}`,
        "write `(req, res) => { … }`",
      );
    } else if (method !== undefined && isPathGood) {
      const route = { method, path: path as string, handler: handler as RouteHandler };
      this.#routes.push(access === undefined ? route : { ...route, access });
    }
  }

  /** All routes as the host is told of them. */
  toMetadata(): RouteMetadata[] {
    return this.#routes.map(({ handler: _, ...route }) => route);
  }

  #access(options: unknown, at: string): RouteAccess | undefined {
    if (options === undefined) return undefined;
    const reader = Reader.of(options, `${at}.options`, this.problems);
    const given = reader?.raw("access");
    return given === undefined ? undefined : reader?.choice("access", ["open", "organization"]);
  }

  #method(given: unknown, at: string): HttpMethod | undefined {
    const capitals = typeof given === "string" ? given.toUpperCase() : undefined;
    const method = METHODS.find((candidate) => candidate === capitals);
    if (method === undefined) {
      this.problems.add(
        `${at}.method`,
        typeof given === "string"
          ? `\`${given}\` is not a method of routes`
          : `must be a string, but got ${described(given)}`,
        `use ${listed(METHODS)}`,
      );
    }
    return method;
  }

  #checkPath(method: HttpMethod | undefined, path: unknown, at: string): boolean {
    const place = `${at}.path`;
    if (typeof path !== "string" || path === "") {
      this.problems.add(
        place,
        `must be a string, but got ${described(path)}`,
        "such as `/webhook`",
      );
      return false;
    }
    const pattern = parseRoutePattern(path);
    if ("message" in pattern) {
      this.problems.add(place, pattern.message, pattern.hint);
      return false;
    }
    if (isControlPath(pattern.shape)) {
      this.problems.add(
        place,
        `\`${path}\` is kept for the host`,
        `choose another path than ${listed([...CONTROL_PATHS, ...CONTROL_FOLDERS.map((folder) => `${folder}*`)])}`,
      );
      return false;
    }
    if (method === undefined) return false;
    const key = `${method} ${pattern.shape}`;
    const earlier = this.#shapes.get(key);
    if (earlier !== undefined) {
      this.problems.add(
        place,
        earlier === path
          ? `\`${method} ${path}\` is registered twice`
          : `\`${method} ${path}\` is never reached, since \`${earlier}\` is the same path`,
        "keep one of the two",
      );
      return false;
    }
    this.#shapes.set(key, path);
    return true;
  }
}

function isControlPath(shape: string): boolean {
  return (
    CONTROL_PATHS.includes(shape) || CONTROL_FOLDERS.some((folder) => shape.startsWith(folder))
  );
}
