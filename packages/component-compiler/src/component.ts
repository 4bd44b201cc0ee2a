/** Turns the source of one component (`<template>`, `<script>`, `<style>`) into a module and its styles. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import {
  babelParse,
  compileScript,
  compileStyleAsync,
  compileTemplate,
  parse,
  type CompilerError,
  type SFCBlock,
  type SFCDescriptor,
} from "@vue/compiler-sfc";
import { originalPositionFor, TraceMap } from "@jridgewell/trace-mapping";
import { ComponentsError, place, type Problem } from "./problem.js";

/** One component, compiled. */
export interface Component {
  /** A module with the component as its default export; imports the styles by number, as `?style=0`. */
  code: string;
  loader: "js" | "ts";
  styles: string[];
  /** The lines at which the styles begin, from 1. */
  styleLines: number[];
  /** Where a position in the module comes from; `line` counts from 1, `column` from 0. */
  origin: (line: number, column: number) => { line: number; column: number } | undefined;
}

/** Names in the module that no author uses. */
const COMPONENT = "__hayloft_component";
const RENDER = "__hayloft_render";

/** How types that a component imports are read. */
const FILES = {
  fileExists: (path: string) => existsSync(path),
  readFile: (path: string) => readFileSync(path, "utf8"),
  realpath: (path: string) => realpathSync(path),
};

/** What a block may be written in. */
const LANGUAGES: Record<string, readonly (string | undefined)[]> = {
  template: [undefined, "html"],
  script: [undefined, "js", "ts"],
  style: [undefined, "css", "postcss"],
};

/**
 * Compiles one component.
 *
 * @param path below the plugin's folder; what is scoped to the component is named after it
 * @throws ComponentsError with all that is wrong in it
 */
export async function compileComponent(path: string, source: string): Promise<Component> {
  const { descriptor, errors } = parse(source, { filename: path, sourceMap: true });
  refuse(errors.map((error) => problemOf(path, error)));
  refuse(foreignBlocks(path, descriptor));
  const id = createHash("sha256").update(path).digest("hex").slice(0, 8);
  const [script, template] = [scriptOf(path, descriptor, id), templateOf(path, descriptor, id)];
  const styles = await stylesOf(path, descriptor, id);
  refuse([...script.problems, ...template.problems, ...styles.problems]);

  const isScoped = descriptor.styles.some(({ scoped }) => scoped);
  const parts = [
    script.code,
    // What `<script setup>` gives holds the template already.
    ...(descriptor.scriptSetup === null && template.code !== ""
      ? [template.code, `${COMPONENT}.render = ${RENDER};`]
      : []),
    ...(isScoped ? [`${COMPONENT}.__scopeId = "data-v-${id}";`] : []),
    ...(styles.modules.length > 0
      ? [`${COMPONENT}.__cssModules = { ${styles.modules.join(", ")} };`]
      : []),
    ...styles.code.map(
      (_, number) => `import ${JSON.stringify(`./${basename(path)}?style=${number}`)};`,
    ),
    `export default ${COMPONENT};`,
  ];
  return {
    code: parts.join("\n"),
    loader: (descriptor.scriptSetup ?? descriptor.script)?.lang === "ts" ? "ts" : "js",
    styles: styles.code,
    styleLines: descriptor.styles.map(({ loc }) => loc.start.line),
    origin: script.origin,
  };
}

function foreignBlocks(path: string, descriptor: SFCDescriptor): Problem[] {
  const { template, script, scriptSetup, styles } = descriptor;
  const blocks = [template, script, scriptSetup, ...styles].filter((block) => block !== null);
  return blocks.flatMap((block) => {
    const at = place(path, block.loc.start.line);
    const isKnown = LANGUAGES[block.type]?.includes(block.lang) ?? true;
    return [
      ...(isKnown
        ? []
        : [
            {
              at,
              message: `a \`${block.type}\` in \`${String(block.lang)}\` is not compiled here`,
            },
          ]),
      ...(block.src === undefined
        ? []
        : [{ at, message: "a block in a file of its own (`src`) is not read here" }]),
    ];
  });
}

function scriptOf(path: string, descriptor: SFCDescriptor, id: string) {
  const nowhere = () => undefined;
  const block = refusedBlock(descriptor) ?? descriptor.scriptSetup ?? descriptor.script;
  if (block === null) return { code: `const ${COMPONENT} = {};`, problems: [], origin: nowhere };
  try {
    const { content, map } = compileScript(descriptor, {
      id,
      isProd: true,
      inlineTemplate: descriptor.scriptSetup !== null,
      genDefaultAs: COMPONENT,
      fs: FILES,
    });
    const origins = map === undefined ? undefined : new TraceMap(JSON.stringify(map));
    const origin = (line: number, column: number) => {
      const found = origins && originalPositionFor(origins, { line, column });
      return typeof found?.line === "number"
        ? { line: found.line, column: found.column }
        : undefined;
    };
    return { code: content, problems: [], origin };
  } catch (error) {
    // What is wrong with the template is said with all the rest that is.
    const problems = isOfTemplate(error) ? [] : [problemOf(path, error as Error, block)];
    return { code: "", problems, origin: nowhere };
  }
}

/** Which of two blocks an error is in is not said with it. */
function refusedBlock({ script, scriptSetup }: SFCDescriptor): SFCBlock | null {
  if (script === null || scriptSetup === null) return null;
  try {
    const plugins = script.lang === "ts" ? (["typescript"] as const) : [];
    babelParse(script.content, { sourceType: "module", plugins: [...plugins] });
    return null;
  } catch {
    return script;
  }
}

function isOfTemplate(error: unknown): boolean {
  return (
    typeof (error as Partial<CompilerError>).loc === "object" &&
    typeof (error as CompilerError).code === "number"
  );
}

function templateOf(
  path: string,
  { template, script, scriptSetup, styles, slotted }: SFCDescriptor,
  id: string,
) {
  if (template === null) return { code: "", problems: [] };
  const { code, errors } = compileTemplate({
    id,
    filename: path,
    source: template.content,
    ...(template.ast === undefined ? {} : { ast: template.ast }),
    scoped: styles.some(({ scoped }) => scoped),
    slotted,
    isProd: true,
    ...((scriptSetup ?? script)?.lang === "ts"
      ? { compilerOptions: { expressionPlugins: ["typescript"] } }
      : {}),
  });
  return {
    code: code.replace(/^export function render\b/m, `function ${RENDER}`),
    problems: errors.map((error) => problemOf(path, error, template)),
  };
}

async function stylesOf(path: string, { styles }: SFCDescriptor, id: string) {
  const code: string[] = [];
  const modules: string[] = [];
  const problems: Problem[] = [];
  for (const style of styles) {
    const compiled = await compileStyleAsync({
      id: `data-v-${id}`,
      filename: path,
      source: style.content,
      scoped: style.scoped ?? false,
      modules: Boolean(style.module),
      isProd: true,
    });
    code.push(compiled.code);
    problems.push(...compiled.errors.map((error) => problemOf(path, error, style)));
    if (style.module !== undefined && style.module !== false) {
      const named = typeof style.module === "string" ? style.module : "$style";
      modules.push(`${JSON.stringify(named)}: ${JSON.stringify(compiled.modules ?? {})}`);
    }
  }
  return { code, modules, problems };
}

/** Where an error is, by whichever of the four ways compilers have to say it, and its first line. */
function problemOf(path: string, error: string | Error, block?: SFCBlock): Problem {
  const text =
    typeof error === "string" ? error : ((error as { reason?: string }).reason ?? error.message);
  const message = (text.split("\n")[0] ?? "")
    .replace(/^\[@?vue\/compiler-sfc\]\s*/, "")
    .replace(/ \(\d+:\d+\)$/, "");
  const { loc, line, column } = error as Partial<{
    loc: { start?: { line: number; column: number }; line?: number; column?: number };
    line: number;
    column: number;
  }>;
  // Templates: in the file, columns from 1.
  if (loc?.start !== undefined)
    return { at: place(path, loc.start.line, loc.start.column - 1), message };
  const above = (block?.loc.start.line ?? 1) - 1;
  // Scripts: in the block, columns from 0. Styles: in the block, columns from 1.
  if (loc?.line !== undefined) return { at: place(path, above + loc.line, loc.column), message };
  if (line !== undefined) return { at: place(path, above + line, (column ?? 1) - 1), message };
  return { at: place(path, block?.loc.start.line), message };
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new ComponentsError(problems);
}
