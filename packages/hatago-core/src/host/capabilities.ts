/** What a plugin may use: denied unless declared, and counted. */

import { CapabilityError } from "../capability-error.js";
import { isCapability } from "../capabilities.js";
import type { Capabilities, CapabilityName, Timer, TimerHandle } from "../types.js";

/** How often a capability was used. */
export interface CapabilityUses {
  capability: string;
  /** Uses that were allowed. */
  count: number;
  /** Uses that were refused. */
  denied: number;
}

/** Counts uses, so that one line tells of many. */
export class UseCounter {
  readonly #uses = new Map<string, CapabilityUses>();

  /** Hears of the first use after everything was taken. */
  onFirst: (() => void) | null = null;

  add(capability: string, isDenied: boolean, times = 1): void {
    if (times === 0) return;
    let uses = this.#uses.get(capability);
    if (uses === undefined) {
      uses = { capability, count: 0, denied: 0 };
      this.#uses.set(capability, uses);
      if (this.#uses.size === 1) this.onFirst?.();
    }
    if (isDenied) uses.denied += times;
    else uses.count += times;
  }

  /** What was counted since the last time this was asked. */
  take(): CapabilityUses[] {
    const uses = [...this.#uses.values()];
    this.#uses.clear();
    return uses;
  }
}

/** Names that a runtime asks of any object, and that ask for no capability. */
const INNOCENT = ["then", "toJSON", "constructor", "inspect"];

/** Makes the `capabilities` of a plugin. */
export function createCapabilities(
  declared: readonly string[],
  offered: Partial<Capabilities>,
  uses: UseCounter,
): Capabilities {
  const counted = new Map<string, unknown>();
  const reach = (name: string): unknown => {
    if (!isCapability(name)) {
      throw new CapabilityError(
        name,
        `there is no capability \`${name}\``,
        "the capabilities are `fetch`, `kv`, `logger`, `timer` and `crypto`",
      );
    }
    if (!declared.includes(name)) {
      uses.add(name, true);
      throw deniedCapability(name);
    }
    const capability = offered[name];
    if (capability === undefined) {
      throw new CapabilityError(
        name,
        `this runtime does not have the capability \`${name}\``,
        "run the plugin on a runtime that has it",
      );
    }
    let wrapped = counted.get(name);
    if (wrapped === undefined) {
      wrapped = counting(name, capability, uses);
      counted.set(name, wrapped);
    }
    return wrapped;
  };
  return new Proxy({} as Capabilities, {
    get(_target, name) {
      if (typeof name === "symbol" || INNOCENT.includes(name)) return undefined;
      return reach(name);
    },
    has: (_target, name) => isCapability(name) && declared.includes(name),
    ownKeys: () => declared.filter((name) => isCapability(name)),
    getOwnPropertyDescriptor: (_target, name) =>
      isCapability(name) && declared.includes(name)
        ? { value: reach(name), enumerable: true, configurable: true }
        : undefined,
    set: () => false,
  });
}

/** The refusal of a capability that exists and was not declared. */
export function deniedCapability(name: CapabilityName): CapabilityError {
  return new CapabilityError(
    name,
    `the plugin does not declare the capability \`${name}\``,
    `add "${name}" to "capabilities" in \`hatago.plugin.json\``,
  );
}

function counting(name: CapabilityName, capability: object, uses: UseCounter): object {
  if (typeof capability === "function") {
    return (...given: unknown[]) => {
      uses.add(name, false);
      return Reflect.apply(capability, undefined, given) as unknown;
    };
  }
  return new Proxy(capability, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") {
        if (typeof key === "string" && value !== undefined) uses.add(name, false);
        return value;
      }
      return (...given: unknown[]) => {
        uses.add(name, false);
        return Reflect.apply(value, target, given) as unknown;
      };
    },
    set: () => false,
  });
}

/** Timers that can be cleared all at once. */
export function createTimer(): Timer & { clearAll(): void } {
  const running = new Map<TimerHandle, () => void>();
  const stop = (handle: TimerHandle): void => {
    running.get(handle)?.();
    running.delete(handle);
  };
  return {
    setTimeout(callback, milliseconds) {
      const handle = setTimeout(() => {
        running.delete(handle);
        callback();
      }, milliseconds);
      running.set(handle, () => {
        clearTimeout(handle);
      });
      return handle;
    },
    setInterval(callback, milliseconds) {
      const handle = setInterval(callback, milliseconds);
      running.set(handle, () => {
        clearInterval(handle);
      });
      return handle;
    },
    clearTimeout: stop,
    clearInterval: stop,
    clearAll() {
      for (const handle of [...running.keys()]) stop(handle);
    },
  };
}
