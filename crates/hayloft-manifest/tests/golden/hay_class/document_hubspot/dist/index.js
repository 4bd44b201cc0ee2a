"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.HubSpotPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
// In plugin worker (e.g., HubSpot plugin)
class HubSpotPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({
            id: 'hay-plugin-hubspot',
            capabilities: ['mcp'],
        });
    }
    async registerMCP() {
        await this.sdk.mcp.registerRemoteMCP({
            url: 'https://mcp.hubspot.com',
            transport: 'http',
            auth: {
                type: 'oauth2',
                authorizationUrl: 'https://mcp.hubspot.com/oauth/authorize/user',
                tokenUrl: 'https://mcp.hubspot.com/oauth/v3/token',
                scopes: ['crm.objects.contacts.read', 'crm.objects.contacts.write'],
                clientIdEnvVar: 'HUBSPOT_CLIENT_ID',
                clientSecretEnvVar: 'HUBSPOT_CLIENT_SECRET',
            },
            tools: [{ name: 'hubspot_get_contact', description: 'Gets a contact' }], // MCP tool definitions
        });
    }
}
exports.HubSpotPlugin = HubSpotPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(HubSpotPlugin);
}
