/** URI templates (RFC 6570), as far as resources use them: `{name}` within a segment, `{+name}` across segments. */

/** The variables of a template in an address, or `undefined` where the address is none of its. */
export function matchTemplate(template: string, uri: string): Record<string, string> | undefined {
  const names: string[] = [];
  // Split at the variables, so that everything between them is literal.
  const pattern = template
    .split(/(\{[^{}]+\})/)
    .map((part) => {
      const variable = /^\{(\+?)([A-Za-z0-9_]+)\*?\}$/.exec(part);
      if (variable?.[2] === undefined) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      names.push(variable[2]);
      return variable[1] === "+" ? "(.+)" : "([^/?#]+)";
    })
    .join("");
  const match = new RegExp(`^${pattern}$`).exec(uri);
  if (match === null) return undefined;
  return Object.fromEntries(
    names.map((name, index) => [name, decodeURIComponent(match[index + 1] ?? "")]),
  );
}
