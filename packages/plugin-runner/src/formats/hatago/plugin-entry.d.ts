/** The plugin's own module, which is put beside the shim when it is run. */
declare const factory: unknown;
export { factory as default };
