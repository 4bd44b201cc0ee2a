"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.EmailPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class EmailPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super();
    }
}
exports.EmailPlugin = EmailPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(EmailPlugin);
}
