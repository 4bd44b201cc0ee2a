/** The program as the host runs it: components of a plugin in, the module that a dashboard loads out. */
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Component, createSSRApp, h } from "vue";
import { renderToString } from "vue/server-renderer";
import { expect, it, onTestFinished } from "vitest";

const here = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const ESBUILD = here("../../node_modules/@esbuild/linux-x64/bin/esbuild");

type Files = Record<string, string>;

function folder(files: Files): string {
  const root = mkdtempSync(join(tmpdir(), "components-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

async function run(root: string, paths: string[]): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      here("dist/compile-components.cjs"),
      paths,
      {
        cwd: root,
        env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, ESBUILD_BINARY_PATH: ESBUILD },
      },
      (_error, stdout, stderr) => {
        resolve({ code: child.exitCode ?? -1, said: (stdout + stderr).trim() });
      },
    );
  });
}

async function compiled(
  files: Files,
  paths = Object.keys(files),
): Promise<{ root: string; load: () => Promise<Record<string, Component>> }> {
  const root = folder(files);
  expect(await run(root, paths)).toEqual({ code: 0, said: "" });
  const load = async () => {
    // Here Vue comes from where a dashboard would have it.
    mkdirSync(join(root, "node_modules"));
    symlinkSync(here("../../node_modules/vue"), join(root, "node_modules/vue"));
    writeFileSync(join(root, "package.json"), '{ "type": "module" }');
    return (await import(pathToFileURL(join(root, "dist/ui.js")).href)) as Record<
      string,
      Component
    >;
  };
  return { root, load };
}

async function shown(
  component: Component | undefined,
  props: Record<string, unknown> = {},
): Promise<string> {
  if (component === undefined) throw new Error("there is no such component");
  return renderToString(createSSRApp({ render: () => h(component, props) }));
}

it("makes of every component an export with its path for a name", async () => {
  const { load } = await compiled({
    "components/Plain.vue": `<template><p>{{ greeting }}, {{ config.name }}</p></template>
      <script>export default { props: ["config"], data: () => ({ greeting: "Hello" }) };</script>`,
    "components/settings/Typed.vue": `<script setup lang="ts">
        import { computed } from "vue";
        const props = defineProps<{ apiBaseUrl: string }>();
        const shown = computed<string>(() => (props.apiBaseUrl as string).toUpperCase());
      </script>
      <template><a :href="apiBaseUrl!">{{ shown as string }}</a></template>`,
    "components/bare-one.vue": `<template><hr></template>`,
  });
  const module = await load();
  expect(Object.keys(module).sort()).toEqual([
    "components/Plain.vue",
    "components/bare-one.vue",
    "components/settings/Typed.vue",
  ]);
  expect(await shown(module["components/Plain.vue"], { config: { name: "you" } })).toBe(
    "<p>Hello, you</p>",
  );
  expect(await shown(module["components/settings/Typed.vue"], { apiBaseUrl: "/x" })).toBe(
    '<a href="/x">/X</a>',
  );
  expect(await shown(module["components/bare-one.vue"])).toBe("<hr>");
});

it("makes components that use others, modules, packages, and files", async () => {
  const { root, load } = await compiled(
    {
      "components/Outer.vue": `<script setup>
          import Inner from "./parts/Inner.vue";
          import { label } from "../src/label";
          import { twice } from "twice";
          import logo from "./logo.svg";
        </script>
        <template><Inner :text="twice(label)" /><img :src="logo"></template>`,
      "components/parts/Inner.vue": `<template><b>{{ text }}</b></template><script>export default { props: ["text"] };</script>`,
      "components/logo.svg": "<svg/>",
      "src/label.ts": `export const label: string = "a";`,
      "node_modules/twice/index.js": "export const twice = (text) => text + text;",
    },
    ["components/Outer.vue"],
  );
  expect(readFileSync(join(root, "dist/ui.js"), "utf8")).toMatch(/from ?"vue"/);
  rmSync(join(root, "node_modules"), { recursive: true });
  const { "components/Outer.vue": Outer, ...others } = await load();
  expect(others).toEqual({});
  expect(await shown(Outer)).toBe(
    '<!--[--><b>aa</b><img src="data:image/svg+xml,&lt;svg/&gt;"><!--]-->',
  );
});

it("knows types that are elsewhere, types in templates, and names that authors use", async () => {
  const { load } = await compiled(
    {
      "components/Setup.vue": `<script setup lang="ts">
          import type { Props } from "./types";
          defineProps<Props>();
          const component = "c", render = "r";
        </script>
        <template><p>{{ text + component + render }}</p></template>`,
      "components/Options.vue": `<script lang="ts">
          const component = "o";
          export default { data: () => ({ value: component as unknown }) };
        </script>
        <template><p>{{ (value as string).length }}</p></template>`,
      "components/types.ts": "export interface Props { text: string }",
    },
    ["components/Setup.vue", "components/Options.vue"],
  );
  const module = await load();
  expect(await shown(module["components/Setup.vue"], { text: "t" })).toBe("<p>tcr</p>");
  expect(await shown(module["components/Options.vue"])).toBe("<p>1</p>");
});

it("leaves to the dashboard what the dashboard has", async () => {
  const { root } = await compiled({
    "components/A.vue": `<script setup>import Connection from "@/components/plugins/PluginOAuthConnection.vue";</script>
      <template><Connection /></template>`,
  });
  expect(readFileSync(join(root, "dist/ui.js"), "utf8")).toContain(
    '"@/components/plugins/PluginOAuthConnection.vue"',
  );
});

it("collects styles, keeps scoped ones to their component, and names classes of modules", async () => {
  const { root, load } = await compiled({
    "components/A.vue": `<template><p>a</p></template><style scoped>p { color: red }</style>`,
    "components/B.vue": `<template><p :class="$style.big">b</p></template><style module>.big { color: blue }</style><style>body { margin: 0 }</style>`,
  });
  const { "components/A.vue": A, "components/B.vue": B } = await load();
  const id = /^<p (data-v-[0-9a-f]{8})>a<\/p>$/.exec(await shown(A))?.[1];
  const name = /^<p class="(_big_[^"]+)">b<\/p>$/.exec(await shown(B))?.[1];
  expect(readFileSync(join(root, "dist/style.css"), "utf8").trim()).toBe(
    `p[${String(id)}]{color:red}.${String(name)}{color:#00f}body{margin:0}`,
  );
});

it("says all that is wrong at once, each with its place, and writes nothing", async () => {
  const root = folder({
    "components/Template.vue": `<template>\n  <p>\n    {{ a b }}\n    <b v-else>x</b>\n  </p>\n</template>`,
    "components/Open.vue": `<template>\n  <p>\n</template>`,
    "components/Script.vue": `<template><p/></template>\n\n<script setup>\nconst a = 1;\nconst b = ;\n</script>`,
    "components/Typed.vue": `<script setup lang="ts">\n\nimport x from "nowhere";\nconsole.log(x);\n</script>\n<template><p/></template>`,
    "components/Style.vue": `<template><p/></template>\n<style scoped>\np { color: red\n</style>`,
    "components/Foreign.vue": `<template lang="pug">p</template>\n<style lang="scss">a {}</style>\n<script src="./x.js"></script>`,
    "components/Image.vue": `<template><p/></template>\n\n<style>\np { background: url("./gone.png") }\nb { background: url("/shown.png") }</style>`,
    "components/Both.vue": `<script>\n\nconst a = ;\nexport default {};\n</script>\n\n<script setup>\nconst b = 1;\n</script>\n<template><p/></template>`,
    "components/Sound.vue": `<template><p>fine</p></template>`,
  });
  const paths = [
    "Template",
    "Open",
    "Script",
    "Typed",
    "Style",
    "Foreign",
    "Image",
    "Both",
    "Sound",
  ];
  const { code, said } = await run(
    root,
    paths.map((name) => `components/${name}.vue`),
  );
  expect(code).toBe(1);
  expect(said.split("\n").sort()).toMatchInlineSnapshot(`
    [
      "components/Both.vue:3:11: Unexpected token",
      "components/Foreign.vue:1:1: a \`template\` in \`pug\` is not compiled here",
      "components/Foreign.vue:2:1: a \`style\` in \`scss\` is not compiled here",
      "components/Foreign.vue:3:1: a block in a file of its own (\`src\`) is not read here",
      "components/Image.vue:4:21: Could not resolve "./gone.png"",
      "components/Open.vue:2:3: Element is missing end tag.",
      "components/Script.vue:5:11: Unexpected token",
      "components/Style.vue:3:1: Unclosed block",
      "components/Template.vue:3:8: Error parsing JavaScript expression: Unexpected token, expected ","",
      "components/Typed.vue:3:15: Could not resolve "nowhere"",
    ]
  `);
  expect(existsSync(join(root, "dist"))).toBe(false);
});

it("names components and places alike, with a leading `./` or without", async () => {
  const { load } = await compiled({ "components/A.vue": "<template><p/></template>" }, [
    "components/A.vue",
    "./components/A.vue",
  ]);
  expect(Object.keys(await load())).toEqual(["components/A.vue"]);
  const root = folder({
    "components/Open.vue": "<template>\n  <p>\n</template>",
    "components/Style.vue":
      "<style>\np { background: url(./gone.png) }</style><template><p/></template>",
  });
  const { said } = await run(root, ["./components/Open.vue", "./components/Style.vue"]);
  expect(said.split("\n").sort()).toEqual([
    "components/Open.vue:2:3: Element is missing end tag.",
    'components/Style.vue:2:17: Could not resolve "./gone.png"',
  ]);
  expect(await run(root, ["./components/B.vue"])).toEqual({
    code: 1,
    said: "components/B.vue: is missing",
  });
});

it("says which components are missing", async () => {
  const root = folder({ "components/A.vue": "<template><p/></template>" });
  const { code, said } = await run(root, ["components/A.vue", "components/B.vue", "C.vue"]);
  expect({ code, said }).toEqual({
    code: 1,
    said: "components/B.vue: is missing\nC.vue: is missing",
  });
});

it("leaves alone what a build of the plugin's own made", async () => {
  const root = folder({ "components/A.vue": "<template><p/></template>", "dist/ui.mjs": "own" });
  expect(await run(root, ["components/A.vue"])).toEqual({
    code: 0,
    said: "`dist/ui.mjs` is there already",
  });
  expect(existsSync(join(root, "dist/ui.js"))).toBe(false);
});
