/** What a program can rely on that manages an organization's plugins with tRPC's official client. */
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createTRPCClient, httpBatchLink } from "@trpc/client";
import { initTRPC } from "@trpc/server";
import { afterAll, beforeAll, expect, test } from "vitest";

import { startHost, type Organization, type TestHost } from "./host.js";

const PLUGIN = "hay-plugin-shop";

/** The procedures as a program would import their types. */
const t = initTRPC.create();
const given = t.procedure.input((value: unknown) => value as Record<string, unknown> | undefined);
const query = given.query((): any => null);
const mutation = given.mutation((): any => null);
const _app = t.router({
  plugins: t.router({
    getAll: query,
    get: query,
    enable: mutation,
    disable: mutation,
    updateConfig: mutation,
    configure: mutation,
    getConfig: query,
    invokeTool: mutation,
    healthCheck: query,
    restart: mutation,
    stop: mutation,
    stopAll: mutation,
    validateAuth: mutation,
    testConnection: mutation,
    getMCPTools: query,
    refreshMCPTools: mutation,
    getInstances: query,
    statistics: query,
    metrics: query,
    oauth: t.router({ isAvailable: query, status: query, initiate: mutation, revoke: mutation }),
  }),
  sources: t.router({ list: query }),
});
type App = typeof _app;

const MANIFEST = {
  id: PLUGIN,
  name: "Shop",
  version: "1.2.3",
  description: "Sells things",
  author: "Tests",
  type: ["mcp-connector", "analytics"],
  entry: "./dist/index.js",
  category: "integration",
  icon: "shopify",
  marketplace: {
    featured: true,
    tags: ["ecommerce"],
    screenshots: ["https://example.com/one.png"],
  },
  capabilities: {
    mcp: {
      connection: { type: "local" },
      transport: "stdio",
      startCommand: "node mcp/index.cjs",
      tools: [
        {
          name: "echo",
          label: "Echo",
          description: "Says it again",
          input_schema: { type: "object", properties: { message: { type: "string" } } },
        },
      ],
      auth: {
        methods: ["oauth2", "apiKey"],
        oauth: {
          authorizationUrl: "https://provider.com/oauth/authorize",
          tokenUrl: "https://provider.com/oauth/token",
          scopes: ["read"],
          optionalScopes: ["admin"],
          pkce: true,
          clientIdEnvVar: "SHOP_CLIENT_ID",
          clientSecretEnvVar: "SHOP_CLIENT_SECRET",
        },
      },
    },
    ui: {
      routes: [
        {
          path: "/plugins/shop",
          component: "./components/Page.vue",
          name: "shop-page",
          meta: { title: "Shop", requiresAuth: false },
        },
      ],
      components: [{ name: "Card", path: "./components/Card.vue" }],
    },
  },
  settingsExtensions: [
    { slot: "tab", component: "components/Two.vue", tabName: "Two", tabOrder: 2 },
    { slot: "tab", component: "components/One.vue", tabName: "One", tabOrder: 1 },
    { slot: "before-settings", component: "components/First.vue", props: { wide: true } },
  ],
  configSchema: {
    apiKey: { type: "string", label: "API key", required: true, encrypted: true, env: "SHOP_KEY" },
    region: { type: "string", label: "Region", default: "eu", env: "SHOP_REGION" },
  },
};

const SERVER = `
let text = "";
process.stdin.on("data", (chunk) => {
  text += chunk;
  for (let end; (end = text.indexOf("\\n")) >= 0; text = text.slice(end + 1)) {
    const { id, method, params } = JSON.parse(text.slice(0, end));
    const echo = { name: "echo", title: "Echo", inputSchema: { type: "object", properties: { message: { type: "string" } } } };
    const result = {
      initialize: () => ({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "s", version: "1" } }),
      "tools/list": () => ({ tools: [echo] }),
      "tools/call": () => ({ content: [{ type: "text", text: params.arguments.message + " " + process.env.SHOP_REGION }] }),
    }[method]?.();
    if (id !== undefined) process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result }) + "\\n");
  }
});
`;

let folder: string;
let host: TestHost;
let one: Organization;
let two: Organization;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hayloft-host-procedures-"));
  await chmod(folder, 0o755);
  const root = join(folder, PLUGIN);
  const files = {
    "manifest.json": JSON.stringify(MANIFEST),
    "dist/index.js": "",
    "mcp/index.cjs": SERVER,
    "public/page.html": "<script>alert(1)</script>",
    "public/icon.svg": "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    ...Object.fromEntries(
      ["Page", "Card", "One", "Two", "First"].map((name) => [
        `components/${name}.vue`,
        "<template/>",
      ]),
    ),
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, path, ".."), { recursive: true });
    await writeFile(join(root, path), text);
  }
  await symlink("../manifest.json", join(root, "public/out.txt"));
  host = await startHost(folder);
  [one, two] = await Promise.all([host.organization("One"), host.organization("Two")]);
});

afterAll(async () => {
  await host.stop();
  await rm(folder, { recursive: true });
});

const client = (token: string) =>
  createTRPCClient<App>({
    links: [
      httpBatchLink({
        url: new URL("/v1", host.address),
        headers: { authorization: `Bearer ${token}` },
      }),
    ],
  });

test("a plugin goes through its life in the shapes of the documents", async () => {
  const { plugins, sources } = client(await one.admin());
  const pluginId = PLUGIN;

  const [listed] = await plugins.getAll.query(undefined);
  expect(listed).toMatchObject({
    id: PLUGIN,
    dbId: expect.any(Number),
    name: "Shop",
    version: "1.2.3",
    type: ["mcp-connector", "analytics"],
    description: "Sells things",
    author: "Tests",
    category: "integration",
    icon: "shopify",
    iconUrl: `/plugins/public/${PLUGIN}/icon.svg`,
    marketplace: MANIFEST.marketplace,
    installed: true,
    built: true,
    enabled: false,
    hasConfiguration: true,
    hasCustomUI: true,
    capabilities: { mcp: expect.any(Object), ui: expect.any(Object) },
    sourceType: "core",
    isCustom: false,
  });
  expect(Number.isSafeInteger(listed.dbId)).toBe(true);
  expect(await plugins.getAll.query({ type: "channel" })).toEqual([]);
  expect(await plugins.getAll.query({ search: "ECOMM" })).toHaveLength(1);
  expect(await plugins.healthCheck.query({ pluginId })).toMatchObject({
    success: false,
    status: "unconfigured",
  });

  // Without its key it cannot run, and says which one is missing.
  expect(await plugins.enable.mutate({ pluginId })).toEqual({ success: true });
  const unconfigured = await plugins.healthCheck.query({ pluginId });
  expect(unconfigured).toMatchObject({ status: "unconfigured", success: false });
  expect(unconfigured.message).toContain("`apiKey`");
  expect(new Date(unconfigured.testedAt).getTime()).toBeGreaterThan(0);

  const configuration = { apiKey: "sk_test_canary" };
  expect(await plugins.enable.mutate({ pluginId, configuration })).toEqual({ success: true });
  expect(await plugins.getConfig.query({ pluginId })).toEqual({ apiKey: "••••••••" });
  expect(await plugins.updateConfig.mutate({ pluginId, configuration: { region: "us" } })).toEqual({
    success: true,
  });
  expect(await plugins.getConfig.query({ pluginId })).toEqual({
    apiKey: "••••••••",
    region: "us",
  });
  await expect(
    plugins.configure.mutate({ pluginId, configuration: { region: 7, other: 1 } }),
  ).rejects.toMatchObject({
    data: {
      code: "UNPROCESSABLE_CONTENT",
      problems: [{ at: "config.region" }, { at: "config.other" }],
    },
  });

  const got = await plugins.get.query({ pluginId });
  expect(got.enabled).toBe(true);
  expect(got.settingsExtensions.map(({ component }: any) => component)).toEqual([
    "components/First.vue",
    "components/One.vue",
    "components/Two.vue",
  ]);
  expect(got.settingsExtensions[0].props).toEqual({ wide: true });
  expect(got.capabilities.mcp).toMatchObject({
    connection: { type: "local" },
    transport: "stdio",
    tools: [{ name: "echo", label: "Echo" }],
    auth: MANIFEST.capabilities.mcp.auth,
  });
  expect(got.capabilities.ui.routes).toEqual([
    {
      ...MANIFEST.capabilities.ui.routes[0],
      component: expect.stringContaining("components/Page.vue"),
    },
  ]);
  expect(JSON.stringify(got)).not.toContain("canary");

  const said = { content: [{ type: "text", text: "hi us" }] };
  const args = { arguments: { message: "hi" } };
  expect(await plugins.invokeTool.mutate({ pluginId, toolName: "echo", ...args })).toEqual(said);
  expect(await plugins.invokeTool.mutate({ toolName: "echo", ...args })).toEqual(said);
  expect(await plugins.invokeTool.mutate({ toolName: "shop__echo", ...args })).toEqual(said);
  await expect(plugins.invokeTool.mutate({ pluginId, toolName: "none" })).rejects.toMatchObject({
    data: { code: "NOT_FOUND" },
  });
  await expect(
    plugins.invokeTool.mutate({ pluginId, toolName: "echo", arguments: { message: 1 } }),
  ).rejects.toMatchObject({ data: { code: "UNPROCESSABLE_CONTENT" } });

  const tool = {
    name: "echo",
    label: "Echo",
    qualifiedName: "shop__echo",
    pluginId,
    serverId: "main",
  };
  expect(await plugins.getMCPTools.query({ pluginId })).toMatchObject([tool]);
  expect(await plugins.refreshMCPTools.mutate({ pluginId })).toMatchObject({
    success: true,
    tools: [tool],
  });
  expect(await plugins.validateAuth.mutate({ pluginId })).toEqual({ valid: true });
  for (const health of [
    await plugins.healthCheck.query({ pluginId }),
    await plugins.testConnection.mutate({ pluginId }),
  ]) {
    expect(health).toMatchObject({ success: true, status: "healthy" });
  }
  expect(await plugins.restart.mutate({ pluginId })).toEqual({ success: true });
  expect(await plugins.getInstances.query(undefined)).toMatchObject([
    { pluginId, enabled: true, state: "ready", running: true },
  ]);

  const running = async () => (await plugins.getInstances.query(undefined))[0].running;
  expect(await plugins.stop.mutate({ pluginId })).toEqual({ success: true });
  expect(await running()).toBe(false);
  expect(await plugins.invokeTool.mutate({ pluginId, toolName: "echo", ...args })).toEqual(said);
  expect(await running()).toBe(true);
  expect(await plugins.stopAll.mutate(undefined)).toEqual({ success: true, stopped: [pluginId] });
  expect(await running()).toBe(false);
  expect(await plugins.stopAll.mutate(undefined)).toEqual({ success: true, stopped: [] });

  const statistics = { totalInvocations: expect.any(Number), tools: expect.any(Array) };
  expect(await plugins.statistics.query({ pluginId })).toMatchObject(statistics);
  expect(await plugins.metrics.query({ pluginId })).toMatchObject(statistics);

  const available = await plugins.oauth.isAvailable.query({ pluginId });
  expect(available.available).toBe(false);
  expect(available.reason).toContain("SHOP_CLIENT_ID");
  expect(available.oauth).toEqual(MANIFEST.capabilities.mcp.auth.oauth);
  expect(await plugins.oauth.status.query({ pluginId })).toMatchObject({ connected: false });
  await expect(plugins.oauth.initiate.mutate({ pluginId })).rejects.toMatchObject({
    data: { code: "UNPROCESSABLE_CONTENT" },
  });
  await expect(sources.list.query(undefined)).rejects.toMatchObject({
    data: { code: "NOT_IMPLEMENTED" },
  });

  expect(await plugins.disable.mutate({ pluginId })).toEqual({ success: true });
  expect((await plugins.get.query({ pluginId })).enabled).toBe(false);
  for (const name of ["restart", "validateAuth", "refreshMCPTools"] as const) {
    await expect(plugins[name].mutate({ pluginId })).rejects.toMatchObject({
      data: { code: "CONFLICT" },
    });
  }
});

test("the picture of a plugin is shown and runs nothing", async () => {
  const get = (path: string) => fetch(new URL(`/plugins/public/${path}`, host.address));
  const icon = await get(`${PLUGIN}/icon.svg`);
  expect(icon.status).toBe(200);
  expect(await icon.text()).toContain("<svg");
  const headers = (name: string) => icon.headers.get(name) ?? "";
  expect(headers("content-type")).toBe("image/svg+xml");
  expect(headers("x-content-type-options")).toBe("nosniff");
  expect(headers("content-security-policy")).toContain("default-src 'none'");
  expect(headers("content-security-policy")).toContain("sandbox");
  const page = await get(`${PLUGIN}/page.html`);
  expect(page.headers.get("content-type")).toBe("application/octet-stream");
  expect(page.headers.get("content-disposition")).toBe("attachment");
  for (const path of [
    "manifest.json",
    "%2e%2e/manifest.json",
    "..%2fmanifest.json",
    "out.txt",
    "none.png",
    "",
  ]) {
    expect((await get(`${PLUGIN}/${path}`)).status, path).toBeGreaterThanOrEqual(400);
  }
  expect((await get("hay-plugin-none/icon.svg")).status).toBe(404);
});

test("rights and organizations are kept apart", async () => {
  const pluginId = PLUGIN;
  const agent = client(one.token).plugins;
  const refused = await Promise.allSettled([
    agent.getAll.query(undefined),
    agent.enable.mutate({ pluginId }),
    agent.getConfig.query({ pluginId }),
    agent.restart.mutate({ pluginId }),
    agent.stop.mutate({ pluginId }),
    agent.stopAll.mutate(undefined),
    agent.validateAuth.mutate({ pluginId }),
    agent.refreshMCPTools.mutate({ pluginId }),
  ]);
  for (const outcome of refused) {
    expect(outcome).toMatchObject({ reason: { data: { code: "FORBIDDEN" } } });
  }
  await expect(client("nobody").plugins.getAll.query(undefined)).rejects.toMatchObject({
    data: { code: "UNAUTHORIZED" },
  });
  expect(await client(await two.admin()).plugins.getInstances.query(undefined)).toEqual([]);
  const admin = client(await one.admin()).plugins;
  await expect(admin.get.query({ pluginId: "hay-plugin-none" })).rejects.toMatchObject({
    data: { code: "NOT_FOUND" },
  });
});
