import { defineConfig } from "vitest/config";

export default defineConfig({ test: { name: "hatago-core", include: ["src/**/*.test.ts"] } });
