/**
 * Stacks that name the author's files, where the code that runs is a bundle of them.
 *
 * Node's own `--enable-source-maps` reads the map and measures every line of the bundle at each start.
 * Here nothing is read before the first stack with a line of the bundle is looked at.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

interface Place {
  fileName: string;
  lineNumber: number;
  columnNumber: number;
}
type Find = (line: number, column: number) => Place | null;

/** From now on stacks show where lines of the bundle `file` come from. */
export function showAuthorsFiles(file: string): void {
  let find: Find | undefined;
  Error.prepareStackTrace = (error: Error, sites: NodeJS.CallSite[]) => {
    const lines = sites.map((site) => {
      const text = (site as { toString(): string }).toString();
      if (site.getFileName() !== file) return text;
      find ??= read(file);
      const [line, column] = [site.getLineNumber(), site.getColumnNumber()];
      if (line === null || column === null) return text;
      const place = find(line, column);
      if (place === null) return text;
      const { fileName, lineNumber, columnNumber } = place;
      return text.replace(`${file}:${line}:${column}`, () =>
        [fileName, lineNumber, columnNumber].join(":"),
      );
    });
    return [titleOf(error, sites), ...lines.map((line) => `    at ${line}`)].join("\n");
  };
}

/** A map that cannot be read leaves stacks as they are. */
function read(file: string): Find {
  try {
    const { SourceMap } = process.getBuiltinModule("node:module");
    const payload = JSON.parse(readFileSync(`${file}.map`, "utf8")) as ConstructorParameters<
      typeof SourceMap
    >[0];
    const map = new SourceMap(payload);
    const folder = dirname(file);
    return (line, column) => {
      const entry = map.findEntry(line - 1, column - 1);
      if (!("originalSource" in entry)) return null;
      return {
        fileName: resolve(folder, entry.originalSource),
        lineNumber: entry.originalLine + 1,
        columnNumber: entry.originalColumn + 1,
      };
    };
  } catch {
    return () => null;
  }
}

/** The first lines of a stack, as Node writes them: its own errors show their code. */
function titleOf(error: Error, sites: NodeJS.CallSite[]): string {
  try {
    const { code } = error as { code?: unknown };
    const isNodes =
      typeof code === "string" &&
      code.startsWith("ERR_") &&
      sites[0]?.getFileName()?.startsWith("node:") === true;
    return isNodes
      ? `${error.name} [${code}]: ${error.message}`
      : Error.prototype.toString.call(error);
  } catch {
    return "Error";
  }
}
