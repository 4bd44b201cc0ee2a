var OldPlugin = (function (_super) {
  __extends(OldPlugin, _super);
  function OldPlugin() {
    return _super.call(this, { id: "old-style", name: "Old", capabilities: ["routes"] }) || this;
  }
  return OldPlugin;
})(plugin_sdk_1.HayPlugin);
(0, plugin_sdk_1.startPluginWorker)(OldPlugin);
