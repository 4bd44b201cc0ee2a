/** A component in a place of the dashboard. */
export interface UIExtensionDescriptor {
  /** Where, such as `after-settings`. Places that the dashboard does not know are shown under "more". */
  slot: string;
  /**
   * The component's file, relative to the plugin, such as `components/Settings.vue`. Vue components in `components/` are
   * compiled when the plugin is installed, into a module that exports each by its path, unless the plugin's own build
   * makes `dist/ui.js`.
   */
  component: string;
}

/** Where a page of a plugin is shown. */
export type UIPageSlot = "standalone" | "after-settings" | "before-settings";

/** A page of its own in the dashboard. */
export interface UIPageDescriptor {
  /** Unique within the plugin. */
  id: string;
  /** What a person reads. */
  title: string;
  /** The component's file, relative to the plugin. */
  component: string;
  /** The name of an icon. */
  icon?: string;
  /** `standalone` if absent. */
  slot?: UIPageSlot;
  /** Whether it is shown only once the plugin is configured. */
  requiresSetup?: boolean;
}

/** Adds to the dashboard: called, a component in a place; `page`, a page. */
export interface RegisterUiAPI {
  (extension: UIExtensionDescriptor): void;
  /** Adds a page. */
  page(page: UIPageDescriptor): void;
}
