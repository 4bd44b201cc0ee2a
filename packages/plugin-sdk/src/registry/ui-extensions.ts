/** Checks `register.ui`. */

import type { UIExtensionDescriptor, UIPageDescriptor, UIPageSlot } from "../types/ui.js";
import { ID_HINT, isId, isPolluting } from "./names.js";
import type { Problems } from "./problems.js";
import { compact, Reader } from "./reader.js";

const PAGE_SLOTS = [
  "standalone",
  "after-settings",
  "before-settings",
] as const satisfies UIPageSlot[];

/** What a plugin adds to the dashboard so far. */
export class UiExtensions {
  readonly extensions: UIExtensionDescriptor[] = [];
  readonly pages: UIPageDescriptor[] = [];
  readonly #pageIds = new Set<string>();
  #calls = 0;

  constructor(private readonly problems: Problems) {}

  /** Takes one call of `register.ui`. */
  add(extension: unknown): void {
    const reader = Reader.of(extension, `register.ui[${this.#calls++}]`, this.problems);
    if (reader === undefined) return;
    const slot = reader.text("slot", "such as `after-settings`");
    const component = this.#component(reader);
    if (slot !== undefined && component !== undefined) this.extensions.push({ slot, component });
  }

  /** Takes one call of `register.ui.page`. */
  addPage(page: unknown): void {
    const given: unknown =
      typeof page === "object" && page !== null ? Reflect.get(page, "id") : undefined;
    const at =
      typeof given === "string" && isId(given) ? `register.ui.page.${given}` : "register.ui.page";
    const reader = Reader.of(page, at, this.problems);
    if (reader === undefined) return;
    const before = this.problems.count;
    const id = reader.text("id");
    if (id !== undefined) {
      if (!isId(id) || isPolluting(id)) {
        this.problems.add(reader.place("id"), `\`${id}\` is not an id`, ID_HINT);
      } else if (this.#pageIds.has(id)) {
        this.problems.add(reader.place("id"), `the page \`${id}\` is registered twice`);
      }
      this.#pageIds.add(id);
    }
    const title = reader.text("title");
    const component = this.#component(reader);
    const more = {
      icon: reader.optionalText("icon"),
      slot: reader.raw("slot") === undefined ? undefined : reader.choice("slot", PAGE_SLOTS),
      requiresSetup: reader.flag("requiresSetup"),
    };
    if (this.problems.count !== before) return;
    if (id === undefined || title === undefined || component === undefined) return;
    this.pages.push(compact({ id, title, component, ...more }));
  }

  #component(reader: Reader): string | undefined {
    const component = reader.text("component", "such as `components/Settings.vue`");
    if (component === undefined) return undefined;
    const isInside =
      !component.startsWith("/") &&
      !/[\\\0]/.test(component) &&
      !/^[a-z][a-z0-9+.-]*:/i.test(component) &&
      !component.split("/").includes("..");
    if (isInside) return component;
    this.problems.add(
      reader.place("component"),
      `\`${component}\` is not a file of the plugin`,
      "give its path relative to the plugin, without `..`",
    );
    return undefined;
  }
}
