import { describe, expect, it } from "vitest";
import { z } from "zod";
import { z as old } from "zod/v3";
import { readSchema } from "./schema.js";

const NAMED = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };

describe("the schema that is listed", () => {
  it.each([
    ["nothing", undefined, { type: "object" }],
    ["an empty object", {}, { type: "object" }],
    ["JSON Schema", NAMED, NAMED],
    ["JSON Schema without a type", { properties: {} }, { type: "object", properties: {} }],
    [
      "a reference inside of it",
      { $ref: "#/$defs/a", $defs: { a: NAMED } },
      { type: "object", $ref: "#/$defs/a", $defs: { a: NAMED } },
    ],
    ["a shape of Zod", { name: z.string() }, NAMED],
    ["a shape of Zod 3", { name: old.string() }, NAMED],
    ["an object of Zod 3", old.object({ name: old.string() }), NAMED],
  ])("of %s", (_, given, listed) => {
    expect(readSchema(given).jsonSchema).toEqual(listed);
  });

  it("of an object of Zod", () => {
    expect(readSchema(z.object({ name: z.string() })).jsonSchema).toMatchObject(NAMED);
  });

  it.each([
    ["a number", 7, "is not an object"],
    ["a list", [], "is not an object"],
    [
      "another document",
      { properties: { a: { items: { $ref: "other.json#/a" } } } },
      "refers to another document: `other.json#/a`",
    ],
  ])("is refused for %s", (_, given, message) => {
    expect(() => readSchema(given)).toThrow(message);
  });
});

describe("the check", () => {
  it.each([
    ["JSON Schema", NAMED],
    ["a shape of Zod", { name: z.string() }],
    ["an object of Zod", z.object({ name: z.string() })],
    ["an object of Zod 3", old.object({ name: old.string() })],
  ])("of %s", async (_, given) => {
    const schema = readSchema(given);
    expect(await schema.check({ name: "Ada" })).toEqual({ value: { name: "Ada" } });
    const wrong = await schema.check({ name: 7 });
    expect("problems" in wrong && wrong.problems).toHaveLength(1);
    expect(JSON.stringify(wrong)).toContain("name:");
    expect(await schema.check({})).toHaveProperty("problems");
  });
});
