/**
 * `process.env` around `bind`: notices who reads an organization's name too early, then sets it.
 *
 * A plugin that reads these names while it loads would keep the answer for whatever organization
 * the worker is given later, so the host must not keep it warm. Only reads by name are noticed; a
 * copy of the whole environment does not name an organization and stays unnoticed.
 */
import type { BindMessage, LoadMessage } from "./protocol.js";

const ORGANIZATION_NAMES: ReadonlySet<string | symbol> = new Set([
  "HAY_ORG_ID",
  "ORGANIZATION_ID",
  "HAY_ORG_CONFIG",
  "HAY_ORG_AUTH",
  "HAY_API_URL",
  "HAY_API_TOKEN",
]);

export class EnvironmentWatch {
  readonly #environment = process.env;
  #readEarly = false;

  /** Puts a watching view in the place of `process.env`; everything else about it stays the same. */
  start(): void {
    const notice = (name: string | symbol) => {
      if (ORGANIZATION_NAMES.has(name)) this.#readEarly = true;
    };
    process.env = new Proxy(this.#environment, {
      get(target, name) {
        notice(name);
        return Reflect.get(target, name) as string | undefined;
      },
      has(target, name) {
        notice(name);
        return Reflect.has(target, name);
      },
      // Without a trap, the engine would define the property on the receiver, which the
      // environment refuses.
      set(target, name, value: string) {
        return Reflect.set(target, name, value);
      },
    });
  }

  /** Whether the plugin asked for an organization before there was one. */
  get readEarly(): boolean {
    return this.#readEarly;
  }

  /** Ends the watch and sets what belongs to the organization. */
  bind(message: BindMessage, plugin: LoadMessage["plugin"]): void {
    process.env = this.#environment;
    const organizationId = message.organization.id;
    Object.assign(process.env, message.environment, {
      HAY_ORG_ID: organizationId,
      ORGANIZATION_ID: organizationId,
      HAY_PLUGIN_ID: plugin.id,
      PLUGIN_ID: plugin.id,
      HAY_CAPABILITIES: plugin.capabilities.join(","),
    });
    if (message.api !== undefined) {
      process.env.HAY_API_URL = message.api.url;
      process.env.HAY_API_TOKEN = message.api.token;
    }
  }
}
