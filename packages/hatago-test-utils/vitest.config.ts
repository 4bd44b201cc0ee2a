import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const core = (name: string) =>
  fileURLToPath(new URL(`../hatago-core/src/${name}.ts`, import.meta.url));

export default defineConfig({
  resolve: { alias: { "@hatago/core/host": core("host"), "@hatago/core": core("index") } },
  test: { name: "hatago-test-utils", include: ["src/**/*.test.ts"] },
});
