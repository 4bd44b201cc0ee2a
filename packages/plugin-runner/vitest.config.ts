import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: {
      "@hay/plugin-sdk/host": fileURLToPath(new URL("../plugin-sdk/src/host.ts", import.meta.url)),
      "@hatago/core/host": fileURLToPath(new URL("../hatago-core/src/host.ts", import.meta.url)),
    },
  },
  define: { HAYLOFT_RUNNER_VERSION: JSON.stringify("0.0.0-test") },
  test: {
    name: "plugin-runner",
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["./test/support/build-runner.ts"],
    // Real processes on a machine that may be busy; what is waited for are events.
    testTimeout: 30_000,
  },
});
