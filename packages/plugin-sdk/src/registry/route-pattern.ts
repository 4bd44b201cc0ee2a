/**
 * Path patterns of routes, Express style: `/orders/:id`, `/files/*path`. A trailing slash and the case of letters do
 * not matter; `:name` is one segment, `*name` at the end is one segment or more.
 */

/** A pattern taken apart. */
export interface RoutePattern {
  readonly segments: readonly RouteSegment[];
  /** Equal for two patterns that mean the same paths. */
  readonly shape: string;
}

/** One part of a pattern. */
export type RouteSegment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "parameter" | "rest"; readonly name: string };

/** What is wrong with a pattern. */
export interface RoutePatternFault {
  readonly message: string;
  readonly hint?: string;
}

/** What the named parts of a pattern stand for: one segment as a text, the rest as a list of segments. */
export type RouteParameters = Record<string, string | string[]>;

/** Takes a pattern apart, or says why that is not possible. */
export function parseRoutePattern(path: string): RoutePattern | RoutePatternFault {
  if (!path.startsWith("/")) {
    return { message: `\`${path}\` does not start with \`/\``, hint: `write \`/${path}\`` };
  }
  if (/[?#]/.test(path)) {
    return {
      message: `\`${path}\` has a \`?\` or \`#\``,
      hint: "a path has no query; register two routes for an optional part",
    };
  }
  if (/[^!-~]/.test(path)) {
    return {
      message: `\`${path}\` has a character that no path in a request has`,
      hint: "percent-encode spaces and letters outside ASCII",
    };
  }
  const texts = split(path);
  const segments: RouteSegment[] = [];
  const names = new Set<string>();
  for (const [index, text] of texts.entries()) {
    const segment = parseSegment(text, index === texts.length - 1, path);
    if ("message" in segment) return segment;
    if (segment.kind !== "literal") {
      if (names.has(segment.name)) {
        return { message: `\`${path}\` has two parts named \`${segment.name}\`` };
      }
      names.add(segment.name);
    }
    segments.push(segment);
  }
  return { segments, shape: `/${segments.map(shapeOf).join("/")}` };
}

/** The parameters of a request's path (without query), or `undefined` if the pattern does not mean that path. */
export function matchRoutePattern(
  pattern: RoutePattern,
  path: string,
): RouteParameters | undefined {
  const given = split(path);
  const parameters = Object.create(null) as RouteParameters;
  for (const [index, segment] of pattern.segments.entries()) {
    const text = given[index];
    if (text === undefined || (text === "" && segment.kind !== "literal")) return undefined;
    if (segment.kind === "literal") {
      if (segment.text.toLowerCase() !== text.toLowerCase()) return undefined;
      continue;
    }
    const decoded = decode(segment.kind === "rest" ? given.slice(index) : [text]);
    if (decoded === undefined) return undefined;
    if (segment.kind === "rest") {
      parameters[segment.name] = decoded;
      return parameters;
    }
    parameters[segment.name] = decoded[0] ?? "";
  }
  return given.length === pattern.segments.length ? parameters : undefined;
}

function parseSegment(
  text: string,
  isLast: boolean,
  path: string,
): RouteSegment | RoutePatternFault {
  const named = /^([:*])([A-Za-z_][A-Za-z0-9_]*)$/.exec(text);
  const name = named?.[2];
  if (name !== undefined) {
    if (name === "__proto__" || name === "constructor" || name === "prototype") {
      return { message: `\`${name}\` is not allowed as the name of a part of \`${path}\`` };
    }
    if (named?.[1] === ":") return { kind: "parameter", name };
    return isLast
      ? { kind: "rest", name }
      : { message: `\`${text}\` must be the last part of \`${path}\`` };
  }
  if (text === "*") {
    return { message: `the \`*\` in \`${path}\` has no name`, hint: "write `*rest`" };
  }
  if (text === "." || text === "..") {
    return { message: `\`${path}\` has a \`${text}\` segment, which no request keeps` };
  }
  if (text === "" && path !== "/") {
    return { message: `\`${path}\` has an empty segment` };
  }
  if (/[:*(){}[\]\\+!]/.test(text)) {
    return {
      message: `\`${text}\` in \`${path}\` is not a segment that can be matched`,
      hint: "a segment is a text, `:name`, or `*name` at the end",
    };
  }
  return { kind: "literal", text };
}

function shapeOf(segment: RouteSegment): string {
  switch (segment.kind) {
    case "literal":
      return segment.text.toLowerCase();
    case "parameter":
      return ":";
    case "rest":
      return "*";
  }
}

function split(path: string): string[] {
  const inner = path.replace(/^\//, "").replace(/\/$/, "");
  return inner.split("/");
}

function decode(segments: readonly string[]): string[] | undefined {
  try {
    return segments.map((segment) => decodeURIComponent(segment));
  } catch {
    return undefined;
  }
}
