"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.ComputedPlugin = void 0;
const plugin_sdk_1 = require("@hay/plugin-sdk");
class ComputedPlugin extends plugin_sdk_1.HayPlugin {
    constructor() {
        super({ ...defaults, id: makeId(), name: `${a}`, version: require('../package.json').version, capabilities: LIST });
    }
}
exports.ComputedPlugin = ComputedPlugin;
if (require.main === module) {
    (0, plugin_sdk_1.startPluginWorker)(ComputedPlugin);
}
