/**
 * One instance of a class-based plugin, as its host sees it: its settings, its routes, its Express application. Must not
 * know whether the host is a worker or the plugin alone.
 */

import { createConfigRuntime } from "../config-runtime.js";
import { PluginDefinitionError } from "../errors.js";
import { PluginRegistry } from "../registry/plugin-registry.js";
import { Problems } from "../registry/problems.js";
import { parseRoutePattern } from "../registry/route-pattern.js";
import type { RegisteredRoute } from "../registry/routes.js";
import type { ConfigSchema } from "../types/config.js";
import type { HttpMethod, RouteHandler } from "../types/http.js";
import type { HayLogger } from "../types/logger.js";
import type { PluginRegistration } from "../types/metadata.js";
import type { HookName } from "../types/definition.js";
import type { ClassHosting } from "./class-host.js";
import { type ClassDescription, describeClass, type PackageManifest } from "./metadata.js";
import { createPluginSdk, type PluginSdkBackend } from "./plugin-sdk.js";
import type { HayClassMetadata, HayExpressApp, HayPluginSdk } from "./types.js";

/** What an instance is made from. */
export interface ClassInstanceOptions {
  /** What the plugin gave to `super`. */
  given: unknown;
  manifest: PackageManifest;
  /** The id where the plugin names none. */
  pluginId: string;
  logger: HayLogger;
  backend: PluginSdkBackend;
  /** Whether bodies arrive unparsed, so that the application must parse them. */
  parsesBodies: boolean;
}

/** Where settings come from. */
export interface ClassValues {
  values: Readonly<Record<string, unknown>>;
  environment: Readonly<Record<string, string | undefined>>;
}

/** Express, as far as it is used here. */
interface Express {
  (): HayExpressApp & { router?: { stack: readonly Layer[] } };
  json(options: object): unknown;
  urlencoded(options: object): unknown;
}

interface Layer {
  route?: { path: unknown; methods: Readonly<Record<string, boolean>> };
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const satisfies HttpMethod[];

/** The hooks that only count where the plugin overrides them. */
const HOOKS = ["onEnable", "onConfigUpdate", "onDisable"] as const satisfies HookName[];

export class ClassInstance implements ClassHosting {
  readonly metadata: HayClassMetadata;
  readonly config: Record<string, unknown> = {};
  readonly sdk: HayPluginSdk;
  readonly logger: HayLogger;
  readonly #options: ClassInstanceOptions;
  readonly #description: ClassDescription;
  readonly #problems = new Problems();
  readonly #registry: PluginRegistry;
  readonly #mcpIds = new Set<string>();
  #app: ReturnType<Express> | null = null;
  /** How many layers of the application are not the plugin's own. */
  #ownLayers = 0;
  /** How many registered routes the application has. */
  #mounted = 0;

  constructor(options: ClassInstanceOptions) {
    const { given, manifest, pluginId, logger, backend } = options;
    this.#options = options;
    this.logger = logger;
    this.#description = describeClass(given, manifest, pluginId, this.#problems);
    this.metadata = this.#description.metadata;
    this.sdk = createPluginSdk(this.#description.capabilities, backend, this.#mcpIds);
    this.#registry = new PluginRegistry({ logger });
    this.#registry.register.config(this.#description.fields);
  }

  /** The settings as the host is told of them, right or wrong. */
  get fields(): ConfigSchema {
    return this.#description.fields;
  }

  get capabilities(): readonly string[] {
    return this.#description.capabilities;
  }

  registerRoute(method: string, path: string, handler: RouteHandler): void {
    const all = typeof method === "string" && method.toUpperCase() === "ALL";
    for (const one of all ? METHODS : [method]) {
      this.#registry.register.route(one as HttpMethod, path, handler);
    }
    if (this.#app !== null) this.#mount();
  }

  app(load: () => unknown): HayExpressApp {
    if (this.#app !== null) return this.#app;
    const express = load() as Express;
    const app = express();
    app.set("x-powered-by", false);
    if (this.#options.parsesBodies) {
      const verify = (req: object, _res: object, rawBody: Buffer) => {
        Object.assign(req, { rawBody });
      };
      app.use(express.json({ verify }), express.urlencoded({ extended: true, verify }));
    }
    this.#app = app;
    this.#ownLayers = app.router?.stack.length ?? 0;
    this.#mount();
    return app;
  }

  /** The routes to serve; complete once the plugin's hooks have run. */
  get routes(): readonly RegisteredRoute[] {
    const app = this.#app;
    if (app === null) return this.#registry.routes;
    const handler = app as unknown as RouteHandler;
    const own = [...this.#registry.routes.map(({ method, path }) => ({ method, path, handler }))];
    const known = new Set(own.map(({ method, path }) => `${method} ${path}`));
    for (const route of applicationRoutes(app.router?.stack.slice(this.#ownLayers) ?? [])) {
      if (known.has(`${route.method} ${route.path}`)) continue;
      known.add(`${route.method} ${route.path}`);
      own.push({ ...route, handler });
    }
    return own;
  }

  /** Takes over an organization's settings: the same object has the new values. */
  setValues({ values, environment }: ClassValues): void {
    const allowedEnv = Object.values(this.fields).flatMap(({ env }) =>
      typeof env === "string" ? [env] : [],
    );
    const schema = this.fields;
    const runtime = createConfigRuntime({ schema, values, allowedEnv, environment });
    for (const key of Object.keys(this.config)) Reflect.deleteProperty(this.config, key);
    for (const name of new Set([...runtime.keys(), ...Object.keys(values)])) {
      const value: unknown = runtime.getOptional(name);
      if (value !== undefined) this.config[name] = value;
    }
  }

  /** Each setting that has an environment variable, as that variable's text. */
  environment(): Record<string, string> {
    const variables: Record<string, string> = {};
    for (const [name, { env }] of Object.entries(this.fields)) {
      const value = this.config[name];
      if (typeof env !== "string" || value === undefined) continue;
      variables[env] = typeof value === "string" ? value : JSON.stringify(value);
    }
    return variables;
  }

  /** The required settings without a value, each with its variable. */
  missing(): { field: string; env?: string }[] {
    return Object.entries(this.fields)
      .filter(([name, field]) => field.required === true && this.config[name] === undefined)
      .map(([field, { env }]) => (typeof env === "string" ? { field, env } : { field }));
  }

  /** Has a server that is registered again keep its id. */
  beginMcp(): void {
    this.#mcpIds.clear();
  }

  /**
   * What the instance registered.
   *
   * @throws PluginDefinitionError with all that is wrong.
   */
  describe(plugin: object): PluginRegistration {
    const problems = [...this.#problems.list];
    try {
      const metadata = this.#registry.seal();
      if (problems.length === 0) {
        const hooks = HOOKS.filter((hook) => overrides(plugin, hook));
        return {
          name: this.#description.name,
          ...metadata,
          routes: this.routes.map(({ method, path }) => ({ method, path })),
          hooks: ["onStart", ...hooks],
        };
      }
    } catch (error) {
      if (!(error instanceof PluginDefinitionError)) throw error;
      problems.push(...error.problems);
    }
    throw new PluginDefinitionError(problems);
  }

  /** Gives the application the routes that it does not have yet. */
  #mount(): void {
    const { routes } = this.#registry;
    for (; this.#mounted < routes.length; this.#mounted += 1) {
      const route = routes[this.#mounted];
      if (route === undefined) return;
      const { method, path, handler } = route;
      const verb = method.toLowerCase() as "get" | "post" | "put" | "patch" | "delete";
      this.#app?.[verb](path, handler);
    }
  }
}

/** Whether a plugin has a method of its own in the place of the base class's. */
export function overrides(plugin: object, method: string): boolean {
  let prototype: unknown = plugin;
  while (typeof prototype === "object" && prototype !== null) {
    if (Object.hasOwn(prototype, method)) {
      // The base class is the last before `Object`.
      const parent: unknown = Object.getPrototypeOf(prototype);
      return parent !== Object.prototype && parent !== null;
    }
    prototype = Object.getPrototypeOf(prototype);
  }
  return false;
}

/**
 * What an Express application answers, as patterns that a host can match. What no pattern can say (a mounted router, a
 * middleware that answers by itself, a path by regular expression) makes every path the application's.
 */
function applicationRoutes(stack: readonly Layer[]): { method: HttpMethod; path: string }[] {
  const routes: { method: HttpMethod; path: string }[] = [];
  for (const { route } of stack) {
    const paths = route === undefined ? [] : [route.path].flat();
    const isPlain = paths.every(
      (path) => typeof path === "string" && !("message" in parseRoutePattern(path)),
    );
    if (route === undefined || !isPlain) {
      return METHODS.flatMap((method) => [
        { method, path: "/" },
        { method, path: "/*path" },
      ]);
    }
    const methods = METHODS.filter(
      (method) => route.methods._all === true || route.methods[method.toLowerCase()] === true,
    );
    for (const path of paths as string[]) {
      for (const method of methods) routes.push({ method, path });
    }
  }
  return routes;
}
