import { describe, expect, it } from "vitest";

import { PluginDefinitionError } from "../errors.js";
import { createLogger } from "../logger.js";
import type { HayGlobalContext } from "../types/contexts.js";
import { PluginRegistry } from "./plugin-registry.js";

interface Loose {
  register: {
    route(...given: unknown[]): void;
    config(schema: unknown): void;
    ui: ((extension: unknown) => void) & { page(page: unknown): void };
    auth: { apiKey(options: unknown): void; oauth2(options: unknown): void };
    mcp: { local(server: unknown): void; external(server: unknown): void };
    cron(options: unknown): void;
    webhookRouting(options: unknown): void;
  };
  config: { field(name: unknown): unknown };
}

function registry(logs: string[] = []): PluginRegistry {
  return new PluginRegistry({
    logger: createLogger((line) => logs.push((JSON.parse(line) as { message: string }).message)),
  });
}

/** What an author reads after registering the given things: one line for each problem. */
function problems(run: (ctx: Loose) => void): string {
  const plugin = registry();
  run(plugin as unknown as Loose);
  try {
    plugin.seal();
  } catch (error) {
    if (!(error instanceof PluginDefinitionError)) throw error;
    return error.problems
      .map(({ at, message, hint }) => `${at}: ${message}${hint === undefined ? "" : ` (${hint})`}`)
      .join("\n");
  }
  return "";
}

function warnings(run: (ctx: Loose) => void): string[] {
  const logs: string[] = [];
  const plugin = registry(logs);
  run(plugin as unknown as Loose);
  plugin.seal();
  return logs;
}

const handler = () => undefined;
const oauth2 = {
  id: "oauth",
  label: "Shop",
  authorizationUrl: "https://shop.example/authorize",
  tokenUrl: "https://shop.example/token",
  clientId: { name: "clientId" },
  clientSecret: { name: "clientSecret" },
};
const webhookRouting = {
  signature: { header: "x-hub-signature-256", format: "sha256-hmac", secretEnv: "APP_SECRET" },
  routeKeyPath: { itemsPath: "entry", keyPath: "changes.0.value.id" },
};

describe("what a plugin registered", () => {
  it("is plain JSON in the form that the host reads", () => {
    const plugin = registry();
    const { register, config }: HayGlobalContext = { ...plugin, logger: createLogger(() => {}) };
    // The order does not matter: these refer to fields that come later.
    register.auth.apiKey({ id: "apiKey", label: "API key", configField: "apiKey" });
    register.auth.oauth2({
      ...oauth2,
      scopes: ["read"],
      optionalScopes: ["write"],
      pkce: true,
      clientId: config.field("clientId"),
      clientSecret: config.field("clientSecret"),
      authorizationParams: { access_type: "offline" },
      scopeSeparator: ",",
      tokenExchange: { url: "https://shop.example/x", grantType: "x", tokenParam: "t" },
      tokenRefresh: {
        url: "https://shop.example/r",
        grantType: "r",
        tokenParam: "t",
        includeClientSecret: true,
      },
    });
    register.config({
      apiKey: { type: "string", label: "Key", env: "SHOP_KEY", encrypted: true, regex: "^sk_" },
      clientId: { type: "string" },
      clientSecret: { type: "string", sensitive: true, required: true, placeholder: "…" },
    });
    register.config({
      region: { type: "string", options: ["eu", { value: "us", label: "USA" }], default: "us" },
      rules: { type: "json", default: { allow: ["a"] }, description: "Who may" },
      retries: { type: "number", default: 0, options: [0, 1] },
      verbose: { type: "boolean", default: false },
    });
    register.route("POST", "/webhook", handler);
    register.route("GET", "/orders/:id", handler);
    register.ui({ slot: "after-settings", component: "components/Settings.vue" });
    register.ui({ slot: "header", component: "@/components/plugins/PluginOAuthConnection.vue" });
    register.ui.page({
      id: "orders",
      title: "Orders",
      component: "components/Orders.vue",
      icon: "box",
      slot: "standalone",
      requiresSetup: true,
    });
    register.mcp?.local({ id: "shop", name: "Shop", description: "Orders" });
    register.mcp?.external({ id: "proxy" });
    register.cron({
      name: "sync",
      schedule: " */5 * * * * ",
      handler,
      retryPolicy: { maxRetries: 3, backoff: "exponential" },
    });
    register.webhookRouting({
      ...webhookRouting,
      signature: { ...webhookRouting.signature, format: "sha256-hmac" },
      verificationChallenge: {
        modeParam: "hub.mode",
        verifyTokenParam: "hub.verify_token",
        challengeParam: "hub.challenge",
        verifyTokenConfigField: "apiKey",
      },
    });

    const metadata = plugin.seal();
    expect(JSON.parse(JSON.stringify(metadata))).toEqual(metadata);
    expect(metadata).toMatchInlineSnapshot(`
      {
        "authMethods": [
          {
            "configField": "apiKey",
            "id": "apiKey",
            "label": "API key",
            "type": "apiKey",
          },
          {
            "authorizationParams": {
              "access_type": "offline",
            },
            "authorizationUrl": "https://shop.example/authorize",
            "clientId": {
              "name": "clientId",
            },
            "clientSecret": {
              "name": "clientSecret",
            },
            "id": "oauth",
            "label": "Shop",
            "optionalScopes": [
              "write",
            ],
            "pkce": true,
            "scopeSeparator": ",",
            "scopes": [
              "read",
            ],
            "tokenExchange": {
              "grantType": "x",
              "tokenParam": "t",
              "url": "https://shop.example/x",
            },
            "tokenRefresh": {
              "grantType": "r",
              "includeClientSecret": true,
              "tokenParam": "t",
              "url": "https://shop.example/r",
            },
            "tokenUrl": "https://shop.example/token",
            "type": "oauth2",
          },
        ],
        "configSchema": {
          "apiKey": {
            "env": "SHOP_KEY",
            "label": "Key",
            "regex": "^sk_",
            "sensitive": true,
            "type": "string",
          },
          "clientId": {
            "type": "string",
          },
          "clientSecret": {
            "placeholder": "…",
            "required": true,
            "sensitive": true,
            "type": "string",
          },
          "region": {
            "default": "us",
            "options": [
              "eu",
              {
                "label": "USA",
                "value": "us",
              },
            ],
            "type": "string",
          },
          "retries": {
            "default": 0,
            "options": [
              0,
              1,
            ],
            "type": "number",
          },
          "rules": {
            "default": {
              "allow": [
                "a",
              ],
            },
            "description": "Who may",
            "type": "json",
          },
          "verbose": {
            "default": false,
            "type": "boolean",
          },
        },
        "crons": [
          {
            "name": "sync",
            "retryPolicy": {
              "backoff": "exponential",
              "maxRetries": 3,
            },
            "schedule": "*/5 * * * *",
          },
        ],
        "mcp": {
          "external": [
            {
              "id": "proxy",
            },
          ],
          "local": [
            {
              "description": "Orders",
              "id": "shop",
              "name": "Shop",
            },
          ],
        },
        "pages": [
          {
            "component": "components/Orders.vue",
            "icon": "box",
            "id": "orders",
            "requiresSetup": true,
            "slot": "standalone",
            "title": "Orders",
          },
        ],
        "routes": [
          {
            "method": "POST",
            "path": "/webhook",
          },
          {
            "method": "GET",
            "path": "/orders/:id",
          },
        ],
        "uiExtensions": [
          {
            "component": "components/Settings.vue",
            "slot": "after-settings",
          },
          {
            "component": "@/components/plugins/PluginOAuthConnection.vue",
            "slot": "header",
          },
        ],
        "webhookRouting": {
          "routeKeyPath": {
            "itemsPath": "entry",
            "keyPath": "changes.0.value.id",
          },
          "signature": {
            "format": "sha256-hmac",
            "header": "x-hub-signature-256",
            "secretEnv": "APP_SECRET",
          },
          "verificationChallenge": {
            "challengeParam": "hub.challenge",
            "modeParam": "hub.mode",
            "verifyTokenConfigField": "apiKey",
            "verifyTokenParam": "hub.verify_token",
          },
        },
      }
    `);
    expect(plugin.routes.map(({ handler }) => handler)).toEqual([handler, handler]);
    expect(plugin.crons).toEqual([
      expect.objectContaining({ name: "sync", schedule: "*/5 * * * *", handler }),
    ]);
    expect(plugin.seal()).toEqual(metadata);
  });

  it("may be nothing", () => {
    expect(registry().seal()).toEqual({
      configSchema: {},
      authMethods: [],
      mcp: { local: [], external: [] },
      uiExtensions: [],
      pages: [],
      routes: [],
      crons: [],
    });
  });

  it("does not change with what the plugin still holds", () => {
    const plugin = registry();
    const schema = { rules: { type: "json" as const, default: { allow: ["a"] } } };
    plugin.register.config(schema);
    schema.rules.default.allow.push("changed");
    expect(plugin.seal().configSchema.rules?.default).toEqual({ allow: ["a"] });
  });
});

describe("after sealing", () => {
  it.each<[string, (ctx: Loose) => void]>([
    ["register.route", ({ register }) => register.route("GET", "/a", handler)],
    ["register.config", ({ register }) => register.config({})],
    ["register.ui", ({ register }) => register.ui({})],
    ["register.ui.page", ({ register }) => register.ui.page({})],
    ["register.auth.apiKey", ({ register }) => register.auth.apiKey({})],
    ["register.auth.oauth2", ({ register }) => register.auth.oauth2({})],
    ["register.mcp.local", ({ register }) => register.mcp.local({})],
    ["register.mcp.external", ({ register }) => register.mcp.external({})],
    ["register.cron", ({ register }) => register.cron({})],
    ["register.webhookRouting", ({ register }) => register.webhookRouting({})],
  ])("%s throws", (name, run) => {
    const plugin = registry();
    plugin.seal();
    expect(() => {
      run(plugin as unknown as Loose);
    }).toThrow(`${name}: is called after \`onInitialize\` ended`);
    expect(() => plugin.seal()).not.toThrow();
  });

  it("a broken registration stays broken, with the same problems", () => {
    const plugin = registry();
    plugin.register.auth.apiKey({ id: "a", label: "A", configField: "nope" });
    const messages = [1, 2].map(() => {
      try {
        plugin.seal();
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    });
    expect(messages[0]).toContain("nope");
    expect(messages[1]).toBe(messages[0]);
  });
});

describe("problems", () => {
  it("come all at once", () => {
    expect(
      problems(({ register }) => {
        register.config({ apiKey: { type: "text" } });
        register.route("FETCH", "webhook", undefined);
        register.cron({ name: "sync", schedule: "hourly" });
        register.auth.apiKey({ id: "apiKey", configField: "apiToken" });
      }),
    ).toMatchInlineSnapshot(`
      "register.config.apiKey.type: \`text\` is not known (use \`string\`, \`number\`, \`boolean\`, \`json\`, \`array\` or \`object\`)
      register.route[0].method: \`FETCH\` is not a method of routes (use \`GET\`, \`POST\`, \`PUT\`, \`PATCH\` or \`DELETE\`)
      register.route[0].path: \`webhook\` does not start with \`/\` (write \`/webhook\`)
      register.route[0].handler: must be a function, but got nothing (write \`(req, res) => { … }\`)
      register.cron.sync.schedule: \`hourly\` has 1 field, but a schedule has 5 (write minute, hour, day of month, month and day of week, such as \`0 3 * * *\` for every day at 3:00)
      register.cron.sync.handler: must be a function, but got nothing
      register.auth.apiKey.apiKey.label: is missing
      register.auth.apiKey.apiKey.configField: \`apiToken\` is not a field of \`register.config\` (declare it, or use \`apiKey\`)"
    `);
  });

  it("of configuration fields", () => {
    expect(
      problems(({ register }) => {
        register.config({
          untyped: {},
          wrongType: { type: "list" },
          typeless: { type: 1 },
          notObject: "string",
          "bad name!": { type: "string" },
          label: { type: "string", label: 1, description: {}, required: "yes", sensitive: 1 },
          env: { type: "string", env: "NOT A NAME" },
          defaultNumber: { type: "number", default: "3" },
          defaultNaN: { type: "number", default: NaN },
          defaultString: { type: "string", default: 3 },
          defaultBoolean: { type: "boolean", default: null },
          options: { type: "string", options: ["a", "b"], default: "c" },
          optionTypes: {
            type: "number",
            options: [1, "2", { value: "3" }, { value: 4, label: 4 }],
          },
          optionTwice: { type: "string", options: ["a", { value: "a" }] },
          optionsEmpty: { type: "string", options: [] },
          optionsText: { type: "string", options: "a,b" },
          regex: { type: "string", regex: "([a-z" },
          regexNumber: { type: "number", regex: "^[0-9]$" },
          regexDefault: { type: "string", regex: "^sk_", default: "pk_" },
        });
        register.config({ env: { type: "string" } });
        register.config(undefined);
        register.config([]);
      }),
    ).toMatchInlineSnapshot(`
      "register.config.untyped.type: is missing (use \`string\`, \`number\`, \`boolean\`, \`json\`, \`array\` or \`object\`)
      register.config.wrongType.type: \`list\` is not known (use \`string\`, \`number\`, \`boolean\`, \`json\`, \`array\` or \`object\`)
      register.config.typeless.type: must be a string, but got a number (use \`string\`, \`number\`, \`boolean\`, \`json\`, \`array\` or \`object\`)
      register.config.notObject: must be an object, but got a string
      register.config.bad name!: \`bad name!\` is not a field name (use 1 to 100 letters, digits, \`_\`, \`-\`, \`.\` and \`:\`, with a letter, digit or \`_\` first)
      register.config.label.sensitive: must be \`true\` or \`false\`, but got a number
      register.config.label.label: must be a string, but got a number
      register.config.label.description: must be a string, but got an object
      register.config.label.required: must be \`true\` or \`false\`, but got a string
      register.config.env.env: \`NOT A NAME\` is not a name of an environment variable (use letters, digits and \`_\`, such as \`STRIPE_API_KEY\`)
      register.config.defaultNumber.default: must be a number, but got a string
      register.config.defaultNaN.default: must be a number, but got \`NaN\`
      register.config.defaultString.default: must be a string, but got a number
      register.config.defaultBoolean.default: must be a boolean, but got \`null\`
      register.config.options.default: is not one of the options (use \`"a"\`, \`"b"\`, or add it to the options)
      register.config.optionTypes.options[1]: must be a number, but got a string
      register.config.optionTypes.options[2]: must be a number, but got a string
      register.config.optionTypes.options[3].label: must be a string
      register.config.optionTwice.options[1]: is there twice
      register.config.optionsEmpty.options: is empty, so no value would be allowed (leave it out)
      register.config.optionsText.options: must be an array, but got a string
      register.config.regex.regex: \`([a-z\` is not a regular expression (it is read in JavaScript's syntax with the flag \`u\`, without slashes around it)
      register.config.regexNumber.regex: only a \`string\` can have a pattern, but this is a \`number\`
      register.config.regexDefault.default: does not match \`^sk_\`
      register.config.env: the field \`env\` is registered twice (keep one of the two)
      register.config: must be an object, but got nothing
      register.config: must be an object, but got an array"
    `);
  });

  it("of arrays and objects that are none", () => {
    expect(
      problems(({ register }) => {
        register.config({
          list: { type: "array", default: { a: 1 } },
          map: { type: "object", default: ["a"] },
          shaped: { type: "array", items: { type: "string" }, default: ["a"] },
          choice: { type: "object", options: [["a"]] },
        });
      }),
    ).toMatchInlineSnapshot(`
      "register.config.list.default: must be an array, but got an object
      register.config.map.default: must be an object, but got an array
      register.config.choice.options[0]: must be an object, but got an array"
    `);
  });

  it("of values that JSON cannot hold", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    expect(
      problems(({ register }) => {
        register.config({
          f: { type: "json", default: { a: [() => 1] } },
          d: { type: "json", default: new Date(0) },
          n: { type: "json", default: 1n },
          c: { type: "json", default: cycle },
          o: { type: "json", options: [{ value: new Map() }] },
          p: { type: "json", default: JSON.parse('{"a":{"__proto__":{"x":1}}}') as unknown },
        });
      }),
    ).toMatchInlineSnapshot(`
      "register.config.f.default.a[0]: a function cannot be written as JSON
      register.config.d.default: is an instance of a class, which cannot be written as JSON (give a plain object, array, string, number or boolean)
      register.config.n.default: a big integer cannot be written as JSON
      register.config.c.default.self: contains itself, so it cannot be written as JSON
      register.config.o.options[0].value: is an instance of a class, which cannot be written as JSON (give a plain object, array, string, number or boolean)
      register.config.p.default.a.__proto__: \`__proto__\` is not allowed as a key (choose another name)"
    `);
  });

  it("of names that reach prototypes", () => {
    expect(
      problems(({ register }) => {
        register.config(JSON.parse('{"__proto__":{"type":"string"}}'));
        register.config({ constructor: { type: "string" }, prototype: { type: "string" } });
        register.config({ __proto__: { hidden: { type: "string" } } });
        register.auth.apiKey({ id: "__proto__", label: "A", configField: "constructor" });
        register.cron({ name: "constructor", schedule: "* * * * *", handler });
        register.ui.page({ id: "prototype", title: "A", component: "a.vue" });
        register.route("GET", "/:__proto__", handler);
        register.webhookRouting({
          ...webhookRouting,
          routeKeyPath: { itemsPath: "a.__proto__.b", keyPath: "constructor" },
        });
      }),
    ).toMatchInlineSnapshot(`
      "register.config.__proto__: \`__proto__\` is not allowed as a field name (choose another name)
      register.config.constructor: \`constructor\` is not allowed as a field name (choose another name)
      register.config.prototype: \`prototype\` is not allowed as a field name (choose another name)
      register.config: must be a plain object, but has a prototype of its own (list every field in the object itself; \`__proto__\` is not a field name)
      register.auth.apiKey.__proto__.id: \`__proto__\` is not an id (use 1 to 100 letters, digits, \`_\`, \`-\`, \`.\` and \`:\`, with a letter, digit or \`_\` first)
      register.cron.constructor.name: \`constructor\` is not a name of a job (use 1 to 100 letters, digits, \`_\`, \`-\`, \`.\` and \`:\`, with a letter, digit or \`_\` first)
      register.ui.page.prototype.id: \`prototype\` is not an id (use 1 to 100 letters, digits, \`_\`, \`-\`, \`.\` and \`:\`, with a letter, digit or \`_\` first)
      register.route[0].path: \`__proto__\` is not allowed as the name of a part of \`/:__proto__\`
      register.webhookRouting.routeKeyPath.itemsPath: \`a.__proto__.b\` is not a dotted path
      register.webhookRouting.routeKeyPath.keyPath: \`constructor\` is not a dotted path"
    `);
    expect({}).not.toHaveProperty("hidden");
  });

  it("of routes", () => {
    expect(
      problems(({ register }) => {
        register.route("HEAD", "/a", handler);
        register.route(undefined, "/a", handler);
        register.route("GET", "a", handler);
        register.route("GET", "", handler);
        register.route("GET", 1, handler);
        register.route("GET", "/a?b=1", handler);
        register.route("GET", "/a b", handler);
        register.route("GET", "/é", handler);
        register.route("GET", "/a//b", handler);
        register.route("GET", "/a/../b", handler);
        register.route("GET", "/*", handler);
        register.route("GET", "/*rest/a", handler);
        register.route("GET", "/a{/:b}", handler);
        register.route("GET", "/:a.json", handler);
        register.route("GET", "/:a/:a", handler);
        register.route("GET", "/fine", handler);
        register.route("get", "/fine", handler);
        register.route("GET", "/Fine/", handler);
        register.route("POST", "/fine", handler);
        register.route("GET", "/orders/:id", handler);
        register.route("GET", "/orders/:number", handler);
        register.route("GET", "/handlerless");
      }),
    ).toMatchInlineSnapshot(`
      "register.route[0].method: \`HEAD\` is not a method of routes (use \`GET\`, \`POST\`, \`PUT\`, \`PATCH\` or \`DELETE\`)
      register.route[1].method: must be a string, but got nothing (use \`GET\`, \`POST\`, \`PUT\`, \`PATCH\` or \`DELETE\`)
      register.route[2].path: \`a\` does not start with \`/\` (write \`/a\`)
      register.route[3].path: must be a string, but got an empty string (such as \`/webhook\`)
      register.route[4].path: must be a string, but got a number (such as \`/webhook\`)
      register.route[5].path: \`/a?b=1\` has a \`?\` or \`#\` (a path has no query; register two routes for an optional part)
      register.route[6].path: \`/a b\` has a character that no path in a request has (percent-encode spaces and letters outside ASCII)
      register.route[7].path: \`/é\` has a character that no path in a request has (percent-encode spaces and letters outside ASCII)
      register.route[8].path: \`/a//b\` has an empty segment
      register.route[9].path: \`/a/../b\` has a \`..\` segment, which no request keeps
      register.route[10].path: the \`*\` in \`/*\` has no name (write \`*rest\`)
      register.route[11].path: \`*rest\` must be the last part of \`/*rest/a\`
      register.route[12].path: \`a{\` in \`/a{/:b}\` is not a segment that can be matched (a segment is a text, \`:name\`, or \`*name\` at the end)
      register.route[13].path: \`:a.json\` in \`/:a.json\` is not a segment that can be matched (a segment is a text, \`:name\`, or \`*name\` at the end)
      register.route[14].path: \`/:a/:a\` has two parts named \`a\`
      register.route[16].path: \`GET /fine\` is registered twice (keep one of the two)
      register.route[17].path: \`GET /Fine/\` is never reached, since \`/fine\` is the same path (keep one of the two)
      register.route[20].path: \`GET /orders/:number\` is never reached, since \`/orders/:id\` is the same path (keep one of the two)
      register.route[21].handler: must be a function, but got nothing (write \`(req, res) => { … }\`)"
    `);
  });

  it("of routes that the host keeps for itself", () => {
    const kept = [
      ...["/metadata", "/validate-auth", "/on-connected", "/config-update", "/disable"],
      ...["/Metadata/", "/cron/sync", "/cron/:name", "/mcp/list-tools", "/mcp/*rest"],
    ];
    for (const path of kept) {
      expect(problems(({ register }) => register.route("POST", path, handler))).toContain(
        `register.route[0].path: \`${path}\` is kept for the host`,
      );
    }
    const free = ["/health", "/", "/metadata/x", "/crontab", "/mcp", "/:any", "/*rest"];
    for (const path of free) {
      expect(problems(({ register }) => register.route("POST", path, handler))).toBe("");
    }
  });

  it("of auth methods", () => {
    expect(
      problems(({ register, config }) => {
        register.config({ apiKey: { type: "string" }, count: { type: "number" } });
        register.auth.apiKey({ id: "apiKey", label: "API key", configField: "apiKey" });
        register.auth.apiKey({ id: "apiKey", label: "Again", configField: "apiKey" });
        register.auth.apiKey({ id: "other", label: "Other", configField: "apiToken" });
        register.auth.apiKey({ id: "count", label: "Count", configField: "count" });
        register.auth.apiKey({});
        register.auth.apiKey("apiKey");
        register.auth.oauth2({ ...oauth2, id: "apiKey" });
        register.auth.oauth2({
          ...oauth2,
          id: "wrong",
          authorizationUrl: "shop.example/authorize",
          tokenUrl: "ftp://shop.example/token",
          scopes: "read",
          optionalScopes: ["a", ""],
          pkce: "S256",
          clientId: "clientId",
          clientSecret: undefined,
          authorizationParams: { state: "x", prompt: 1 },
          scopeSeparator: "",
          tokenExchange: { url: "javascript:alert(1)", grantType: "x" },
          tokenRefresh: "yes",
        });
        register.auth.oauth2({
          ...oauth2,
          id: "secretive",
          tokenUrl: "https://id:secret@shop.example/token",
          clientId: config.field("apiKey"),
          clientSecret: config.field("clientSecret"),
        });
      }),
    ).toMatchInlineSnapshot(`
      "register.auth.apiKey.apiKey.id: the method \`apiKey\` is registered twice
      register.auth.apiKey.id: is missing
      register.auth.apiKey.label: is missing
      register.auth.apiKey.configField: is missing (name a field of \`register.config\`)
      register.auth.apiKey: must be an object, but got a string
      register.auth.oauth2.apiKey.id: the method \`apiKey\` is registered twice
      register.auth.oauth2.wrong.authorizationUrl: \`shop.example/authorize\` is not an http(s) address (write it in full, such as \`https://provider.example/oauth/authorize\`)
      register.auth.oauth2.wrong.tokenUrl: \`ftp://shop.example/token\` is not an http(s) address (write it in full, such as \`https://provider.example/oauth/authorize\`)
      register.auth.oauth2.wrong.scopes: must be an array of strings, but got a string
      register.auth.oauth2.wrong.optionalScopes[1]: must be a string, but got an empty string
      register.auth.oauth2.wrong.pkce: must be \`true\` or \`false\`, but got a string
      register.auth.oauth2.wrong.clientId: must be a reference to a configuration field, but got a string (write \`clientId: config.field("clientId")\`)
      register.auth.oauth2.wrong.clientSecret: is missing (write \`clientSecret: config.field("clientSecret")\`)
      register.auth.oauth2.wrong.authorizationParams.prompt: must be a string, but got a number
      register.auth.oauth2.wrong.authorizationParams.state: \`state\` is set by the host (leave it out)
      register.auth.oauth2.wrong.scopeSeparator: is empty, so scopes would run together
      register.auth.oauth2.wrong.tokenExchange.url: \`javascript:alert(1)\` is not an http(s) address (write it in full, such as \`https://provider.example/oauth/authorize\`)
      register.auth.oauth2.wrong.tokenExchange.tokenParam: is missing
      register.auth.oauth2.wrong.tokenRefresh: must be an object, but got a string
      register.auth.oauth2.secretive.tokenUrl: has a user name or password in it (use \`clientId\` and \`clientSecret\`)
      register.auth.apiKey.other.configField: \`apiToken\` is not a field of \`register.config\` (declare it, or use \`apiKey\` or \`count\`)
      register.auth.apiKey.count.configField: the field \`count\` is a \`number\`, but must be a \`string\`
      register.auth.oauth2.apiKey.clientId: \`clientId\` is not a field of \`register.config\` (declare it, or use \`apiKey\` or \`count\`)
      register.auth.oauth2.apiKey.clientSecret: \`clientSecret\` is not a field of \`register.config\` (declare it, or use \`apiKey\` or \`count\`)
      register.auth.oauth2.secretive.clientSecret: \`clientSecret\` is not a field of \`register.config\` (declare it, or use \`apiKey\` or \`count\`)"
    `);
  });

  it("of jobs", () => {
    expect(
      problems(({ register }) => {
        register.cron({ name: "sync", schedule: "* * * * *", handler });
        register.cron({ name: "sync", schedule: "* * * * *", handler });
        register.cron({ name: "a/b", schedule: "* * * * *", handler });
        register.cron({ schedule: "* * * * *", handler });
        register.cron({ name: "late", schedule: "0 24 * * *", handler });
        register.cron({ name: "idle", schedule: "* * * * *" });
        register.cron({
          name: "retry",
          schedule: "* * * * *",
          handler,
          retryPolicy: { maxRetries: -1, backoff: "linear" },
        });
        register.cron({ name: "half", schedule: "* * * * *", handler, retryPolicy: {} });
        register.cron(undefined);
      }),
    ).toMatchInlineSnapshot(`
      "register.cron.sync.name: the job \`sync\` is registered twice
      register.cron[2].name: \`a/b\` is not a name of a job (use 1 to 100 letters, digits, \`_\`, \`-\`, \`.\` and \`:\`, with a letter, digit or \`_\` first)
      register.cron[3].name: is missing
      register.cron.late.schedule: the hour of \`0 24 * * *\` is wrong: \`24\` is out of range (use numbers from 0 to 23, \`*\`, lists (\`1,15\`), ranges (\`1-5\`) and steps (\`*/10\`))
      register.cron.idle.handler: must be a function, but got nothing
      register.cron.retry.retryPolicy.backoff: \`linear\` is not known (use \`fixed\` or \`exponential\`)
      register.cron.retry.retryPolicy.maxRetries: must be a whole number from 0 to 100 (leave \`retryPolicy\` out for no repetition)
      register.cron.half.retryPolicy.backoff: is missing (use \`fixed\` or \`exponential\`)
      register.cron.half.retryPolicy.maxRetries: must be a whole number from 0 to 100 (leave \`retryPolicy\` out for no repetition)
      register.cron[8]: must be an object, but got nothing"
    `);
  });

  it("of the dashboard's parts", () => {
    expect(
      problems(({ register }) => {
        register.ui({});
        register.ui({ slot: "header", component: "../../etc/passwd" });
        register.ui({ slot: "header", component: "https://evil.example/x.vue" });
        register.ui({ slot: "header", component: "/abs.vue" });
        register.ui.page({ id: "a", title: "A", component: "a.vue" });
        register.ui.page({ id: "a", title: "A", component: "a.vue" });
        register.ui.page({ id: "b b", slot: "footer", requiresSetup: 1, icon: 2 });
      }),
    ).toMatchInlineSnapshot(`
      "register.ui[0].slot: is missing (such as \`after-settings\`)
      register.ui[0].component: is missing (such as \`components/Settings.vue\`)
      register.ui[1].component: \`../../etc/passwd\` is not a file of the plugin (give its path relative to the plugin, without \`..\`)
      register.ui[2].component: \`https://evil.example/x.vue\` is not a file of the plugin (give its path relative to the plugin, without \`..\`)
      register.ui[3].component: \`/abs.vue\` is not a file of the plugin (give its path relative to the plugin, without \`..\`)
      register.ui.page.a.id: the page \`a\` is registered twice
      register.ui.page.id: \`b b\` is not an id (use 1 to 100 letters, digits, \`_\`, \`-\`, \`.\` and \`:\`, with a letter, digit or \`_\` first)
      register.ui.page.title: is missing
      register.ui.page.component: is missing (such as \`components/Settings.vue\`)
      register.ui.page.icon: must be a string, but got a number
      register.ui.page.slot: \`footer\` is not known (use \`standalone\`, \`after-settings\` or \`before-settings\`)
      register.ui.page.requiresSetup: must be \`true\` or \`false\`, but got a number"
    `);
  });

  it("of shared webhooks", () => {
    expect(
      problems(({ register }) => {
        register.webhookRouting({
          signature: { header: "bad header", format: "md5", secretEnv: "A-B" },
          verificationChallenge: { modeParam: "mode" },
          routeKeyPath: { itemsPath: "a..b" },
        });
        register.webhookRouting(webhookRouting);
      }),
    ).toMatchInlineSnapshot(`
      "register.webhookRouting.signature.header: \`bad header\` is not a name of a header
      register.webhookRouting.signature.format: \`md5\` is not known (use \`sha256-hmac\`)
      register.webhookRouting.signature.secretEnv: \`A-B\` is not a name of an environment variable (use letters, digits and \`_\`)
      register.webhookRouting.verificationChallenge.verifyTokenParam: is missing
      register.webhookRouting.verificationChallenge.challengeParam: is missing
      register.webhookRouting.verificationChallenge: says nowhere what the token must be (give \`verifyTokenConfigField\` or \`verifyTokenEnv\`)
      register.webhookRouting.routeKeyPath.itemsPath: \`a..b\` is not a dotted path
      register.webhookRouting.routeKeyPath.keyPath: is missing (such as \`entry\` or \`changes.0.value.id\`)
      register.webhookRouting: is called more than once (a plugin has one shared webhook)"
    `);
    expect(problems(({ register }) => register.webhookRouting({}))).toMatchInlineSnapshot(`
      "register.webhookRouting.signature: is missing
      register.webhookRouting.routeKeyPath: is missing"
    `);
    expect(
      problems(({ register }) =>
        register.webhookRouting({
          ...webhookRouting,
          verificationChallenge: {
            modeParam: "m",
            verifyTokenParam: "v",
            challengeParam: "c",
            verifyTokenConfigField: "nope",
          },
        }),
      ),
    ).toMatchInlineSnapshot(
      `"register.webhookRouting.verificationChallenge.verifyTokenConfigField: \`nope\` is not a field of \`register.config\` (declare it)"`,
    );
  });

  it("of announced MCP servers", () => {
    expect(
      problems(({ register }) => {
        register.mcp.local({ id: "shop" });
        register.mcp.external({ id: "shop" });
        register.mcp.local({ id: "a b" });
        register.mcp.local({ name: 1 });
        register.mcp.external(null);
      }),
    ).toMatchInlineSnapshot(`
      "register.mcp.external.id: the server \`shop\` is announced twice
      register.mcp.local.id: \`a b\` is not an id of a server (use 1 to 128 printable ASCII characters without spaces or \`/\`)
      register.mcp.local.id: is missing
      register.mcp.local.name: must be a string, but got a number
      register.mcp.external: must be an object, but got \`null\`"
    `);
  });

  it("of references are found where they are made", () => {
    expect(() => registry().config.field(undefined as unknown as string)).toThrow(
      "config.field: takes the name of a field, but got nothing",
    );
  });
});

it("warns of what is odd, but not wrong", () => {
  expect(
    warnings(({ register }) => {
      register.config({
        a: { type: "string", requird: true },
        b: { type: "string", sensitive: true, default: "hunter2" },
        c: { type: "string", regex: "(?!admin)" },
      });
    }),
  ).toMatchInlineSnapshot(`
    [
      "\`register.config.a\` has properties that mean nothing: requird",
      "\`register.config.b.default\` belongs to a secret, but everybody who sees the settings form sees it",
      "\`register.config.c.regex\` looks around or back, which the host's patterns cannot: it will not be checked",
    ]
  `);
});
