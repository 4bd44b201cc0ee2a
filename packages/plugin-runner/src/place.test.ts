import { expect, test } from "vitest";
import { placeIn, toPlacedError } from "./place.js";

test.each([
  ["/plugin/lib/a.js:3\nconst = 1;\n      ^\n\nSyntaxError: Unexpected token '='", "lib/a.js:3"],
  ["file:///plugin/a%20b.js:7\nSyntaxError: Unexpected token", "a b.js:7"],
  ["Error: no\n    at Object.<anonymous> (/plugin/index.cjs:12:7)", "index.cjs:12"],
  ["Error: no\n    at file:///plugin/index.js:1:7\n    at async x (node:x:1:2)", "index.js:1"],
  ["Error: no\n    at async file:///plugin/index.js:4:1", "index.js:4"],
  [
    "Error: no\n    at check (/plugin/node_modules/x/i.js:1:1)\n    at start (/plugin/own.js:9:2)",
    "own.js:9",
  ],
  ["Error: no\n    at x (/host/runner.cjs:1:1)\n    at y (node:internal/z:2:3)", undefined],
  ["Error: /plugin/index.js:3 is a text", undefined],
])("the place of %j is %s", (stack, place) => {
  expect(placeIn("/plugin", stack)).toBe(place);
});

test("what was thrown keeps its words and its own problems", () => {
  const error = new Error("no");
  error.stack = "Error: no\n    at /plugin/index.js:1:7";
  expect(toPlacedError(error, "/plugin").problems).toEqual([{ at: "index.js:1", message: "no" }]);
  expect(toPlacedError(error, "/elsewhere").problems).toBeUndefined();
  Object.assign(error, { problems: [{ at: "register.config.x", message: "wrong" }] });
  expect(toPlacedError(error, "/plugin").problems).toEqual([
    { at: "register.config.x", message: "wrong" },
  ]);
  expect(toPlacedError("text", "/plugin").problems).toBeUndefined();
});
