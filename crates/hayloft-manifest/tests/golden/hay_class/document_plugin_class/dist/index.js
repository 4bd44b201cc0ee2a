"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.AttioPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class AttioPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({
            id: "attio",
            name: "Attio",
            version: "1.0.0",
            description: "Reads and writes Attio records",
            author: "Hay",
            category: "integration", // or 'channel', 'utility'
            capabilities: ["mcp"], // Add 'routes', 'messages', 'customers' as needed
        });
    }
}
exports.AttioPlugin = AttioPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(AttioPlugin);
}
