import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "client-tests",
    include: ["test/**/*.test.ts"],
    // Real processes on a machine that may be busy; what is waited for are events.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
