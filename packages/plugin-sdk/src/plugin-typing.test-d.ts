import { describe, expectTypeOf, it } from "vitest";
import type { Request, Response } from "express";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";

import {
  defineHayPlugin,
  StdioMcpClient,
  type AuthState,
  type ConfigSchema,
  type HayConfigRuntimeAPI,
  type HayCronContext,
  type HayGlobalContext,
  type HayLogger,
  type HayPluginDefinition,
  type HayPluginFactory,
  type HayRequest,
  type HayResponse,
  type HayStartContext,
  type HttpMethod,
  type JsonValue,
  type McpServerInstance,
  type RouteHandler,
} from "./index.js";

const schema = {
  apiKey: { type: "string", required: true, sensitive: true, env: "SHOP_API_KEY" },
  region: { type: "string", options: ["eu", "us"], default: "eu" },
  tier: { type: "number", options: [{ value: 1, label: "one" }, { value: 2 }] },
  retries: { type: "number", default: 3 },
  limit: { type: "number" },
  verbose: { type: "boolean", required: false },
  rules: { type: "json", required: true },
} as const satisfies ConfigSchema;

describe("with the type of the schema", () => {
  it("knows the fields and their types", () => {
    defineHayPlugin<typeof schema>(() => ({
      name: "Shop",
      onStart({ config }) {
        expectTypeOf(config.get("apiKey")).toEqualTypeOf<string>();
        expectTypeOf(config.get("region")).toEqualTypeOf<"eu" | "us">();
        expectTypeOf(config.get("tier")).toEqualTypeOf<1 | 2 | undefined>();
        expectTypeOf(config.get("retries")).toEqualTypeOf<number>();
        expectTypeOf(config.get("limit")).toEqualTypeOf<number | undefined>();
        expectTypeOf(config.get("verbose")).toEqualTypeOf<boolean | undefined>();
        expectTypeOf(config.get("rules")).toEqualTypeOf<JsonValue>();
        expectTypeOf(config.getOptional("apiKey")).toEqualTypeOf<string | undefined>();
        expectTypeOf(config.keys()).toEqualTypeOf<(keyof typeof schema)[]>();
      },
    }));
  });

  it("refuses unknown keys wherever a field is named", () => {
    defineHayPlugin<typeof schema>((ctx) => ({
      name: "Shop",
      onInitialize() {
        ctx.register.config(schema);
        ctx.register.auth.apiKey({ id: "key", label: "Key", configField: "apiKey" });
        // @ts-expect-error -- no such field
        ctx.register.auth.apiKey({ id: "key", label: "Key", configField: "nope" });
        // @ts-expect-error -- no such field
        ctx.config.field("nope");
        // @ts-expect-error -- not the schema that was promised
        ctx.register.config({ apiKey: { type: "string" } });
        ctx.register.cron({
          name: "sync",
          schedule: "0 * * * *",
          // @ts-expect-error -- no such field
          handler: ({ config }) => config.get("nope"),
        });
      },
      async onStart({ config, mcp }) {
        // @ts-expect-error -- no such field
        config.get("nope");
        // @ts-expect-error -- no such field
        config.getOptional("nope");
        // @ts-expect-error -- not the field's type
        const limit: string = config.get("retries");
        await mcp.startLocal("shop", (local) => {
          // @ts-expect-error -- no such field
          local.config.get("nope");
          return { stop: () => void limit };
        });
      },
      onValidateAuth: ({ config }) => config.get("apiKey").startsWith("sk_"),
      onConfigUpdate({ config }) {
        // @ts-expect-error -- no such field
        config.get("nope");
      },
      onConnected({ config }) {
        // @ts-expect-error -- no such field
        config.get("nope");
      },
    }));
  });

  it("refuses descriptors that are none", () => {
    // @ts-expect-error -- no such type of field
    defineHayPlugin<{ apiKey: { type: "text" } }>(() => ({ name: "Shop" }));
  });
});

describe("without a schema", () => {
  it("takes any key, as document 1 prints it", () => {
    expectTypeOf<HayConfigRuntimeAPI["get"]>().toEqualTypeOf<<T = any>(key: string) => T>();
    defineHayPlugin(() => ({
      name: "Shop",
      onStart({ config }) {
        expectTypeOf(config.get("anything")).toBeAny();
        expectTypeOf(config.get<string>("anything")).toEqualTypeOf<string>();
        expectTypeOf(config.getOptional<number>("anything")).toEqualTypeOf<number | undefined>();
      },
    }));
  });

  it("infers nothing from hooks that are typed themselves", () => {
    const factory = defineHayPlugin((globalCtx) => {
      expectTypeOf(globalCtx).toEqualTypeOf<HayGlobalContext>();
      return <HayPluginDefinition>{
        name: "Shop",
        async onStart(ctx: HayStartContext) {
          await Promise.resolve(ctx.config.get<string>("x"));
        },
        onDisable() {},
      };
    });
    expectTypeOf(factory).toEqualTypeOf<HayPluginFactory>();
  });

  it("lets contexts be named outside the definition", () => {
    const sync = async (ctx: HayCronContext) => {
      const state: AuthState | null = ctx.auth.get();
      await ctx.auth.update({ ...state?.credentials, accessToken: "new" });
    };
    defineHayPlugin(({ register }) => ({
      name: "Shop",
      onInitialize() {
        register.cron({ name: "sync", schedule: "0 * * * *", handler: sync });
      },
    }));
  });
});

describe("routes", () => {
  const register = (_method: HttpMethod, _path: string, _handler: RouteHandler) => {};

  it("take handlers that are typed with Express", () => {
    expectTypeOf<Request>().toExtend<HayRequest>();
    expectTypeOf<Response>().toExtend<HayResponse>();
    const handler = async (req: Request, res: Response) => {
      if (req.get("x-token") === undefined) return res.sendStatus(401);
      return res.status(200).json({ id: req.params.id, body: req.body as unknown });
    };
    register("POST", "/webhook/:id", handler);
    const typed: RouteHandler = (_req: Request, res: Response): void => {
      res.redirect("/elsewhere");
    };
    register("GET", "/", typed);
    defineHayPlugin(({ register: real }) => ({
      name: "Shop",
      onInitialize() {
        real.route("POST", "/webhook", handler);
        real.route("POST", "/narrow", (req: Request<{ id: string }>, res: Response) => {
          res.send(req.params.id);
        });
      },
    }));
  });

  it("give handlers without types the SDK's", () => {
    const handler: RouteHandler = (req, res) => {
      expectTypeOf(req).toEqualTypeOf<HayRequest>();
      expectTypeOf(req.rawBody).toEqualTypeOf<Uint8Array | undefined>();
      expectTypeOf(res.status(200).json({})).toEqualTypeOf<HayResponse>();
    };
    register("GET", "/", handler);
    // @ts-expect-error -- no such method
    register("FETCH", "/", handler);
    // @ts-expect-error -- not a request
    register("GET", "/", (req: { nope: string }) => req.nope);
  });
});

describe("MCP servers", () => {
  class StopOnly implements McpServerInstance {
    constructor(private readonly logger: HayLogger) {}
    stop() {
      this.logger.info("stopped");
    }
  }

  class Tools {
    listTools() {
      return [{ name: "echo", inputSchema: { type: "object" }, extra: 1 }];
    }
    callTool(_name: string, args: { text: string }) {
      return Promise.resolve({ content: [{ type: "text", text: args.text }] });
    }
  }

  it("may have any of the known shapes", () => {
    defineHayPlugin(() => ({
      name: "Shop",
      async onStart({ mcp, logger }) {
        await mcp.startLocal("stop", () => new StopOnly(logger));
        await mcp.startLocal("tools", () => new Tools());
        await mcp.startLocal("sdk", () => new McpServer({ name: "a", version: "1" }));
        await mcp.startLocal(
          "low",
          async () => new Server({ name: "a", version: "1" }, { capabilities: {} }),
        );
        await mcp.startLocal("stdio", () => new StdioMcpClient({ command: "true" }));
        await mcp.startLocal("nothing", () => ({}));
        // @ts-expect-error -- a text is no server
        await mcp.startLocal("wrong", () => "server");
      },
    }));
  });
});

describe("registrations", () => {
  it("check what they are given", () => {
    defineHayPlugin(({ register, config }) => ({
      name: "Shop",
      onInitialize() {
        register.ui({ slot: "after-settings", component: "components/A.vue" });
        register.ui.page({
          id: "a",
          title: "A",
          component: "components/A.vue",
          slot: "standalone",
        });
        // @ts-expect-error -- no such slot
        register.ui.page({ id: "a", title: "A", component: "components/A.vue", slot: "nope" });
        // @ts-expect-error -- a reference, not a name
        register.auth.oauth2({ clientId: "clientId", clientSecret: config.field("secret") });
        // @ts-expect-error -- a host may lack it
        register.mcp.local({ id: "shop" });
        register.mcp?.local({ id: "shop" });
        // @ts-expect-error -- no such type of field
        register.config({ apiKey: { type: "text" } });
      },
    }));
  });
});
