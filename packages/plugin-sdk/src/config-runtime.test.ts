import { describe, expect, it } from "vitest";

import { createAuthRuntime } from "./auth-runtime.js";
import { createConfigRuntime, type ConfigRuntimeOptions } from "./config-runtime.js";
import { ConfigMissingError, ConfigValueError } from "./errors.js";
import type { ConfigSchema } from "./types/config.js";

const schema: ConfigSchema = {
  apiKey: { type: "string", required: true, env: "API_KEY", label: "API key" },
  region: { type: "string", env: "REGION", options: [{ value: "eu", label: "Europe" }, "us"] },
  retries: { type: "number", env: "RETRIES", default: 3 },
  verbose: { type: "boolean", env: "VERBOSE", default: false },
  rules: { type: "json", env: "RULES", default: { allow: ["a"] } },
  hidden: { type: "string", required: true, env: "NOT_ALLOWED", default: "fallback" },
  blocked: { type: "string", required: true, env: "NOT_ALLOWED" },
  plain: { type: "string", required: true },
  note: { type: "string" },
  tags: { type: "array", env: "TAGS" },
  limits: { type: "object", env: "LIMITS" },
};

function config(given: Partial<ConfigRuntimeOptions> = {}) {
  return createConfigRuntime({
    schema,
    values: {},
    allowedEnv: ["API_KEY", "REGION", "RETRIES", "VERBOSE", "RULES", "TAGS", "LIMITS"],
    environment: {},
    ...given,
  });
}

describe("the order of a value", () => {
  it.each<[string, Partial<ConfigRuntimeOptions>, string, unknown]>([
    [
      "the organization's first",
      { values: { apiKey: "own" }, environment: { API_KEY: "env" } },
      "apiKey",
      "own",
    ],
    ["then the environment's", { environment: { API_KEY: "env" } }, "apiKey", "env"],
    ["then the default", {}, "retries", 3],
    ["the environment before the default", { environment: { RETRIES: "5" } }, "retries", 5],
    [
      "never a name outside the manifest's list",
      { environment: { NOT_ALLOWED: "x" } },
      "hidden",
      "fallback",
    ],
    ["`null` is no value", { values: { retries: null } }, "retries", 3],
    ["`undefined` is no value", { values: { retries: undefined } }, "retries", 3],
    ["an empty variable is no value", { environment: { RETRIES: "" } }, "retries", 3],
    [
      "an empty text of the organization is a value",
      { values: { apiKey: "" }, environment: { API_KEY: "env" } },
      "apiKey",
      "",
    ],
    ["0 and `false` are values", { values: { retries: 0 } }, "retries", 0],
    ["arrays from the environment", { environment: { TAGS: '["a"]' } }, "tags", ["a"]],
    ["objects from the environment", { environment: { LIMITS: '{"a":1}' } }, "limits", { a: 1 }],
    ["an optional field without any is undefined", {}, "note", undefined],
    ["values outside the schema can be read", { values: { accessToken: "t" } }, "accessToken", "t"],
  ])("%s", (_, given, key, expected) => {
    expect(config(given).get(key)).toEqual(expected);
    expect(config(given).getOptional(key)).toEqual(expected);
  });

  it("never takes what objects inherit for a value", () => {
    for (const key of ["constructor", "__proto__", "toString"]) {
      expect(config().getOptional(key)).toBeUndefined();
      expect(() => config().get(key)).toThrow(ConfigMissingError);
    }
    const inherited = {
      schema: { a: { type: "string", env: "toString" } },
      allowedEnv: ["toString"],
    } as const;
    expect(config(inherited).getOptional("a")).toBeUndefined();
  });
});

describe("the environment's text", () => {
  it.each<[string, string, unknown]>([
    ["REGION", "eu", "eu"],
    ["RETRIES", "7", 7],
    ["RETRIES", " -0.5 ", -0.5],
    ["RETRIES", "1e3", 1000],
    ["VERBOSE", "true", true],
    ["VERBOSE", "TRUE", true],
    ["VERBOSE", "1", true],
    ["VERBOSE", "on", true],
    ["VERBOSE", "false", false],
    ["VERBOSE", "0", false],
    ["VERBOSE", "no", false],
    ["RULES", '{"a":[1]}', { a: [1] }],
    ["RULES", "null", null],
  ])("%s=%s", (name, text, expected) => {
    const field = { REGION: "region", RETRIES: "retries", VERBOSE: "verbose", RULES: "rules" }[
      name
    ];
    expect(config({ environment: { [name]: text } }).get(field ?? "")).toEqual(expected);
  });

  it.each([
    ["RETRIES", "retries", "many"],
    ["RETRIES", "retries", "0x10"],
    ["RETRIES", "retries", "Infinity"],
    ["RETRIES", "retries", "1e999"],
    ["RETRIES", "retries", "  "],
    ["VERBOSE", "verbose", "maybe"],
    ["RULES", "rules", "{a:1}"],
    ["REGION", "region", "asia"],
  ])("%s refuses what %s cannot be: %s", (name, field, text) => {
    const runtime = config({ environment: { [name]: text } });
    for (const read of [runtime.get, runtime.getOptional]) {
      expect(() => read(field)).toThrow(ConfigValueError);
      expect(() => read(field)).toThrow(new RegExp(`\`${name}\`.*\`${field}\``));
    }
  });

  it("is not shown in the error, since it may be a secret", () => {
    const runtime = config({ environment: { RETRIES: "s3cr3t" } });
    expect(() => runtime.get("retries")).toThrow(/^(?!.*s3cr3t)/);
  });
});

describe("a missing value", () => {
  it.each<[string, string]>([
    [
      "apiKey",
      'the required configuration field `apiKey` ("API key") has no value, and the environment variable `API_KEY` is not set',
    ],
    ["plain", "the required configuration field `plain` has no value"],
    [
      "blocked",
      "the required configuration field `blocked` has no value, and the environment variable `NOT_ALLOWED` is not listed under `hay-plugin.env` in `package.json`",
    ],
    [
      "nope",
      "the configuration has no field `nope`: the fields are `apiKey`, `region`, `retries`, `verbose`, `rules`, `hidden`, `blocked`, `plain`, `note`",
    ],
  ])("of `%s` is named", (field, message) => {
    const runtime = config({ environment: { NOT_ALLOWED: "x" } });
    expect(() => runtime.get(field)).toThrow(ConfigMissingError);
    expect(() => runtime.get(field)).toThrow(message);
    expect(runtime.getOptional(field)).toBeUndefined();
  });

  it("carries field and label", () => {
    const error = catching(() => config().get("apiKey")) as ConfigMissingError;
    expect([error.field, error.label]).toEqual(["apiKey", "API key"]);
  });

  it("of a plugin without fields says so", () => {
    expect(() => config({ schema: {} }).get("a")).toThrow("no field is registered");
  });
});

it("lists the registered fields", () => {
  expect(config({ values: { accessToken: "t" } }).keys()).toEqual(Object.keys(schema));
});

it("gives copies, so that a change reaches nobody else", () => {
  const values = { rules: { allow: ["b"] } };
  for (const runtime of [config(), config({ values })]) {
    const before = JSON.stringify(runtime.get("rules"));
    runtime.get<{ allow: string[] }>("rules").allow.push("changed");
    expect(JSON.stringify(runtime.get("rules"))).toBe(before);
  }
});

describe("createAuthRuntime", () => {
  it("gives the present state, as a copy", () => {
    let state: { methodId: string; credentials: Record<string, unknown> } | null = null;
    const auth = createAuthRuntime(() => state);
    expect(auth.get()).toBeNull();
    state = { methodId: "apiKey", credentials: { apiKey: "k" } };
    const got = auth.get();
    expect(got).toEqual(state);
    if (got !== null) got.credentials.apiKey = "changed";
    expect(auth.get()).toEqual({ methodId: "apiKey", credentials: { apiKey: "k" } });
  });
});

function catching(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
