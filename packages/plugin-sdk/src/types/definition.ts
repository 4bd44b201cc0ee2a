import type { ConfigSchema } from "./config.js";
import type {
  HayAuthValidationContext,
  HayConfigUpdateContext,
  HayConnectedContext,
  HayConnectedResult,
  HayDisableContext,
  HayGlobalContext,
  HayStartContext,
} from "./contexts.js";

/** A plugin: its name and what it does when. All hooks may be absent. */
export interface HayPluginDefinition<Schema extends ConfigSchema = ConfigSchema> {
  /** What people read. */
  name: string;

  /** Once per worker, before any organization is known: declares what the plugin is made of. */
  onInitialize?(ctx: HayGlobalContext<Schema>): void | Promise<void>;

  /** When an organization switches the plugin on. */
  onEnable?(ctx: HayGlobalContext<Schema>): void | Promise<void>;

  /** Whenever the plugin starts for an organization. A failure leaves it running, but marked as degraded. */
  onStart?(ctx: HayStartContext<Schema>): void | Promise<void>;

  /**
   * Whether credentials are good. `false` says no; a thrown `Error` says no with a message for the person at the
   * settings form.
   */
  onValidateAuth?(ctx: HayAuthValidationContext<Schema>): boolean | Promise<boolean>;

  /** After settings were saved, before `onStart` runs with them. */
  onConfigUpdate?(ctx: HayConfigUpdateContext<Schema>): void | Promise<void>;

  /** When the plugin is switched off or removed for an organization. */
  onDisable?(ctx: HayDisableContext): void | Promise<void>;

  /** Right after OAuth tokens were stored. */
  onConnected?(ctx: HayConnectedContext<Schema>): MaybeResult | Promise<MaybeResult>;
}

// eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- a hook may end without returning anything
type MaybeResult = HayConnectedResult | void;

/** The hooks of a definition, by name. */
export type HookName = Exclude<keyof HayPluginDefinition, "name">;

/** Makes a plugin's definition. It is called once per worker. */
export type HayPluginFactory = (ctx: HayGlobalContext) => HayPluginDefinition;
