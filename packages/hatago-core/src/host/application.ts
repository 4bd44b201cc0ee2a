/** The HTTP routes of a plugin's Hono application, as patterns that a host can match. */

/** One route. */
export interface ApplicationRoute {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** Reads what Hono keeps of its routes. What no pattern can say makes every path the application's. */
export function applicationRoutes(
  routes: readonly { method: string; path: string }[],
): ApplicationRoute[] {
  const found = new Map<string, ApplicationRoute>();
  for (const { method, path } of routes) {
    const methods = METHODS.filter((known) => method === "ALL" || method === known);
    for (const pattern of patternsOf(path)) {
      for (const known of methods) {
        found.set(`${known} ${pattern}`, { method: known, path: pattern });
      }
    }
  }
  return [...found.values()];
}

function patternsOf(path: string): string[] {
  if (path === "*" || path === "/*") return ["/", "/*rest"];
  if (path.endsWith("/*") && isPlain(path.slice(0, -2))) {
    return [path.slice(0, -2), `${path.slice(0, -1)}*rest`];
  }
  return isPlain(path) ? [path] : ["/", "/*rest"];
}

function isPlain(path: string): boolean {
  return /^(\/(:[A-Za-z_]\w*|[^:*?{}()[\]+!\\/\s]*))+$/.test(path);
}
