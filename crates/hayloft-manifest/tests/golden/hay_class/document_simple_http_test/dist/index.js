import { HayPlugin, startPluginWorker } from "@hay/plugin-sdk";
export class SimpleHttpTestPlugin extends HayPlugin {
  constructor() {
    super({
      id: "simple-http-test",
      name: "Simple HTTP Test",
      version: "1.0.0",
      description: "Validates worker startup and routing",
      author: "Hay",
      category: "utility",
      capabilities: ["routes"],
    });
  }
}
if (process.argv[1] === new URL(import.meta.url).pathname) startPluginWorker(SimpleHttpTestPlugin);
