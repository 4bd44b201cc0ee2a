/** Finds the routes for a request's path, as Express does. Knows no request and no response. */
import {
  matchRoutePattern,
  parseRoutePattern,
  type RegisteredRoute,
  type RouteParameters,
  type RoutePattern,
} from "@hay/plugin-sdk/host";
import { HttpError } from "./http-error.js";

export interface RouteMatch {
  readonly route: RegisteredRoute;
  readonly params: RouteParameters;
}

/** The routes of a path, or the methods that the path has instead. */
export type Lookup =
  | { kind: "found"; matches: RouteMatch[] }
  | { kind: "otherMethods"; allow: string }
  | { kind: "unknown" };

export class RouteTable {
  readonly #routes: { route: RegisteredRoute; pattern: RoutePattern }[] = [];

  constructor(routes: readonly RegisteredRoute[]) {
    for (const route of routes) {
      const pattern = parseRoutePattern(route.path);
      if ("message" in pattern) throw new Error(`the route \`${route.path}\`: ${pattern.message}`);
      this.#routes.push({ route, pattern });
    }
  }

  /** Throws a 400 when the path's escapes cannot be decoded. */
  find(method: string, path: string): Lookup {
    const matches: RouteMatch[] = [];
    const methods = new Set<string>();
    for (const { route, pattern } of this.#routes) {
      const params = matchRoutePattern(pattern, path);
      if (params === undefined) {
        this.#refuseBadEscapes(pattern, path);
        continue;
      }
      methods.add(route.method);
      if (route.method === "GET") methods.add("HEAD");
      if (route.method === method || (method === "HEAD" && route.method === "GET")) {
        matches.push({ route, params });
      }
    }
    if (matches.length > 0) return { kind: "found", matches };
    if (methods.size > 0) return { kind: "otherMethods", allow: [...methods].join(", ") };
    return { kind: "unknown" };
  }

  /**
   * A pattern that matches once the path's percent signs are taken literally failed only because
   * they are no valid escapes.
   */
  #refuseBadEscapes(pattern: RoutePattern, path: string): void {
    if (!path.includes("%")) return;
    if (matchRoutePattern(pattern, path.replaceAll("%", "%25")) !== undefined && !decodes(path)) {
      throw new HttpError(400, "the path has an escape that cannot be decoded");
    }
  }
}

function decodes(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
