"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.BadPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class BadPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({
            id: "Bad Id!",
            name: "  ",
            version: "one",
            category: "channels",
            capabilities: ["route", "mcp"],
        });
    }
}
exports.BadPlugin = BadPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(BadPlugin);
}
