import { classHost, type HayPluginClass, isHayPluginClass } from "./class-host.js";

/**
 * Starts a class-based plugin. Under a host, the host runs it. On its own (`npm start`) it serves its routes on
 * `HAY_WORKER_PORT` and speaks to the host at `HAY_API_URL` with `HAY_API_TOKEN`.
 *
 * In CommonJS it stands behind `if (require.main === module)`, in an ES module behind
 * `if (process.argv[1] === fileURLToPath(import.meta.url))`.
 */
export async function startPluginWorker(plugin: HayPluginClass): Promise<void> {
  if (!isHayPluginClass(plugin)) {
    throw new TypeError("`startPluginWorker` takes a class that extends `HayPlugin`");
  }
  await classHost().start(plugin);
}
