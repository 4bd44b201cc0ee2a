"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.HubSpotPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class HubSpotPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({
            id: 'hay-plugin-hubspot',
            capabilities: ['mcp'],
        });
    }
    async registerMCP() {
        await this.sdk.mcp.registerRemoteMCP({ url: 'https://mcp.hubspot.com', transport: 'http', tools: [] });
    }
}
exports.HubSpotPlugin = HubSpotPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(HubSpotPlugin);
}
