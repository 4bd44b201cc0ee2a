import { HayPlugin, startPluginWorker } from "@hay/plugin-sdk";

export class ZendeskPlugin extends HayPlugin {
  constructor() {
    super({ id: "zendesk", name: "Zendesk", version: "1.0.0", capabilities: ["mcp"] });
  }
}

if (require.main === module) {
  startPluginWorker(ZendeskPlugin);
}
