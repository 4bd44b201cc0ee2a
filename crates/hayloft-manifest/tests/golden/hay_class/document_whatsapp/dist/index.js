"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.WhatsAppPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class WhatsAppPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({
            id: "whatsapp",
            name: "WhatsApp Business",
            version: "1.0.0",
            description: "Connect WhatsApp Business Cloud API for customer messaging",
            author: "Hay",
            category: "channel",
            capabilities: ["routes", "messages", "customers", "sources"],
            config: {
                accessToken: {
                    type: "string",
                    label: "Access Token",
                    required: true,
                    encrypted: true,
                    envVar: "WHATSAPP_ACCESS_TOKEN",
                },
            },
        });
    }
}
exports.WhatsAppPlugin = WhatsAppPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(WhatsAppPlugin);
}
