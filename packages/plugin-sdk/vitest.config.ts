import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "plugin-sdk",
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    typecheck: { enabled: true, include: ["src/**/*.test-d.ts"], tsconfig: "./tsconfig.json" },
  },
});
