/**
 * Collects what a plugin registers while `onInitialize` runs. Nothing that is wrong throws on the spot: `seal` reports
 * everything at once. Must not know how the plugin was loaded, or what the host does with the result.
 */

import { PluginDefinitionError } from "../errors.js";
import type { HayConfigDescriptorAPI } from "../types/config.js";
import type { HayLogger } from "../types/logger.js";
import type { PluginMetadata } from "../types/metadata.js";
import type { HayRegisterAPI } from "../types/register.js";
import { AuthMethods } from "./auth-methods.js";
import { ConfigFields } from "./config-fields.js";
import { Crons, type RegisteredCron } from "./crons.js";
import { described } from "./described.js";
import { McpDescriptors } from "./mcp-descriptors.js";
import { Problems } from "./problems.js";
import { compact } from "./reader.js";
import { Routes, type RegisteredRoute } from "./routes.js";
import { UiExtensions } from "./ui-extensions.js";
import { WebhookRouting } from "./webhook-routing.js";

/** What a registry needs. */
export interface PluginRegistryOptions {
  /** Hears of what is odd, but not wrong. */
  logger: HayLogger;
}

/** The registrations of one plugin in one worker. */
export class PluginRegistry {
  /** What the plugin's `register` is. */
  readonly register: HayRegisterAPI;
  /** What the plugin's global `config` is. */
  readonly config: HayConfigDescriptorAPI;

  readonly #problems = new Problems();
  readonly #fields: ConfigFields;
  readonly #auth: AuthMethods;
  readonly #routes: Routes;
  readonly #crons: Crons;
  readonly #ui: UiExtensions;
  readonly #mcp: McpDescriptors;
  readonly #webhookRouting: WebhookRouting;
  #sealed = false;

  constructor(options: PluginRegistryOptions) {
    this.#fields = new ConfigFields(this.#problems, options.logger);
    this.#auth = new AuthMethods(this.#problems, this.#fields);
    this.#routes = new Routes(this.#problems);
    this.#crons = new Crons(this.#problems);
    this.#ui = new UiExtensions(this.#problems);
    this.#mcp = new McpDescriptors(this.#problems);
    this.#webhookRouting = new WebhookRouting(this.#problems, this.#fields);
    this.register = this.#registerApi();
    this.config = { field: (name) => this.#field(name) };
  }

  /** The routes with their handlers, in the order of registration. */
  get routes(): readonly RegisteredRoute[] {
    return this.#routes.list;
  }

  /** The jobs with their handlers, in the order of registration. */
  get crons(): readonly RegisteredCron[] {
    return this.#crons.list;
  }

  /**
   * Ends registration: from now on every `register` call throws.
   *
   * @throws PluginDefinitionError with all that is wrong.
   */
  seal(): PluginMetadata {
    if (!this.#sealed) {
      this.#sealed = true;
      this.#auth.checkReferences();
      this.#webhookRouting.checkReferences();
    }
    if (this.#problems.count > 0) throw new PluginDefinitionError(this.#problems.list);
    return compact({
      configSchema: this.#fields.toMetadata(),
      authMethods: this.#auth.toMetadata(),
      mcp: { local: [...this.#mcp.local], external: [...this.#mcp.external] },
      uiExtensions: [...this.#ui.extensions],
      pages: [...this.#ui.pages],
      routes: this.#routes.toMetadata(),
      crons: this.#crons.toMetadata(),
      webhookRouting: this.#webhookRouting.toMetadata(),
    });
  }

  #registerApi(): HayRegisterAPI {
    const open = <Arguments extends unknown[]>(
      name: string,
      take: (...given: Arguments) => void,
    ) => {
      return (...given: Arguments) => {
        if (this.#sealed) throw closed(name);
        take(...given);
      };
    };
    return {
      route: open("register.route", (method, path, handler, options) => {
        this.#routes.add(method, path, handler, options);
      }),
      config: open("register.config", (schema) => {
        this.#fields.add(schema);
      }),
      ui: Object.assign(
        open("register.ui", (extension: unknown) => {
          this.#ui.add(extension);
        }),
        {
          page: open("register.ui.page", (page: unknown) => {
            this.#ui.addPage(page);
          }),
        },
      ),
      auth: {
        apiKey: open("register.auth.apiKey", (options) => {
          this.#auth.addApiKey(options);
        }),
        oauth2: open("register.auth.oauth2", (options) => {
          this.#auth.addOAuth2(options);
        }),
      },
      mcp: {
        local: open("register.mcp.local", (server) => {
          this.#mcp.add("local", server);
        }),
        external: open("register.mcp.external", (server) => {
          this.#mcp.add("external", server);
        }),
      },
      cron: open("register.cron", (options) => {
        this.#crons.add(options);
      }),
      webhookRouting: open("register.webhookRouting", (options) => {
        this.#webhookRouting.set(options);
      }),
    };
  }

  // Whether the field exists is only known at the end, and only matters where the reference is used.
  #field(name: unknown): { name: string } {
    if (typeof name === "string" && name !== "") return Object.freeze({ name });
    throw new PluginDefinitionError([
      { at: "config.field", message: `takes the name of a field, but got ${described(name)}` },
    ]);
  }
}

function closed(name: string): PluginDefinitionError {
  return new PluginDefinitionError([
    {
      at: name,
      message: "is called after `onInitialize` ended",
      hint: "register everything while `onInitialize` runs; await what it depends on",
    },
  ]);
}
