import { describe, expect, it } from "vitest";

import { matchRoutePattern, parseRoutePattern } from "./route-pattern.js";

function matched(path: string, target: string): unknown {
  const pattern = parseRoutePattern(path);
  if ("message" in pattern) throw new Error(pattern.message);
  const parameters = matchRoutePattern(pattern, target);
  return parameters === undefined ? null : { ...parameters };
}

describe("matchRoutePattern", () => {
  it.each<[string, string, unknown]>([
    ["/webhook", "/webhook", {}],
    ["/webhook", "/webhook/", {}],
    ["/webhook", "/WebHook", {}],
    ["/webhook", "/webhook2", null],
    ["/webhook", "/webhook/x", null],
    ["/webhook", "/", null],
    ["/orders/:id", "/orders/7", { id: "7" }],
    ["/orders/:id", "/orders/a%2Fb", { id: "a/b" }],
    ["/orders/:id", "/orders/%zz", null],
    ["/orders/:id", "/orders/", null],
    ["/orders/:id", "/orders", null],
    ["/orders/:id/lines", "/orders/7/lines", { id: "7" }],
    ["/:a/:b", "/x/Y", { a: "x", b: "Y" }],
    ["/files/*path", "/files/a/b%20c", { path: ["a", "b c"] }],
    ["/files/*path", "/files", null],
    ["/files/*path", "/files/", null],
    ["/", "/", {}],
    ["/", "/x", null],
    ["/*rest", "/x/y", { rest: ["x", "y"] }],
  ])("%s with %s", (path, target, expected) => {
    expect(matched(path, target)).toEqual(expected);
  });
});
