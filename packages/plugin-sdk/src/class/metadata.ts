/**
 * What a class-based plugin says of itself, from `super({ … })` and its `package.json`, checked. Must not know how the
 * plugin was loaded.
 */

import { described } from "../registry/described.js";
import type { Problems } from "../registry/problems.js";
import type { ConfigFieldDescriptor } from "../types/config.js";
import type { HayClassMetadata } from "./types.js";

/** A `package.json`, parsed. */
export type PackageManifest = Readonly<Record<string, unknown>>;

/** What is known of a plugin when both sources were read. */
export interface ClassDescription {
  /** What the plugin sees as `this.metadata`. */
  metadata: HayClassMetadata;
  name: string;
  capabilities: readonly string[];
  /** The settings in the form that `register.config` takes. */
  fields: Record<string, ConfigFieldDescriptor>;
}

const TEXTS = ["id", "name", "version", "description", "author", "category"] as const;

/** Puts the two together and notes everything that is wrong. */
export function describeClass(
  given: unknown,
  manifest: PackageManifest,
  fallbackId: string,
  problems: Problems,
): ClassDescription {
  const own = given === undefined ? {} : readObject(given, "metadata", problems);
  const metadata: Record<string, unknown> = { ...fromManifest(manifest), ...own };
  for (const key of TEXTS) {
    const value = metadata[key];
    if (value === undefined || (typeof value === "string" && value.trim() !== "")) continue;
    problems.add(`metadata.${key}`, `must be a string, but got ${described(value)}`);
    metadata[key] = undefined;
  }
  const { id } = metadata;
  if (typeof id === "string" && !isPluginId(id)) {
    problems.add(
      "metadata.id",
      `\`${id}\` is not an id of a plugin`,
      "use lower-case letters, digits and `-`",
    );
  }
  metadata.id ??= fallbackId;
  metadata.name ??= metadata.id;
  const capabilities = readCapabilities(metadata.capabilities, problems);
  return {
    metadata: Object.freeze({ ...metadata, capabilities }),
    name: String(metadata.name),
    capabilities,
    fields: readFields(metadata.config, problems),
  };
}

/** Ids of plugins: `^[a-z0-9-]+$`, or a name of npm. */
function isPluginId(id: string): boolean {
  return /^[a-z0-9-]+$/.test(id) || /^@[a-z0-9-~][a-z0-9-._~]*\/[a-z0-9-~][a-z0-9-._~]*$/.test(id);
}

function fromManifest(manifest: PackageManifest): Record<string, unknown> {
  const { "hay-plugin": hay } = manifest;
  const own =
    typeof hay === "object" && hay !== null && !Array.isArray(hay)
      ? (hay as Record<string, unknown>)
      : {};
  const { displayName, entry: _entry, env: _env, ...more } = own;
  const author = manifest.author;
  const all: Record<string, unknown> = {
    version: text(manifest.version),
    description: text(manifest.description),
    author:
      typeof author === "object" && author !== null
        ? text((author as Record<string, unknown>).name)
        : text(author),
    name: text(displayName),
    ...more,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function readCapabilities(value: unknown, problems: Problems): readonly string[] {
  if (value === undefined) return [];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  problems.add(
    "metadata.capabilities",
    `must be an array of strings, but got ${described(value)}`,
    'such as `["routes", "mcp"]`',
  );
  return [];
}

/** The fields as `register.config` takes them, whose own checks say what is wrong with each. */
function readFields(value: unknown, problems: Problems): Record<string, ConfigFieldDescriptor> {
  if (value === undefined) return {};
  const fields: Record<string, ConfigFieldDescriptor> = {};
  for (const [name, field] of Object.entries(readObject(value, "metadata.config", problems))) {
    if (typeof field !== "object" || field === null || Array.isArray(field)) {
      problems.add(`metadata.config.${name}`, `must be an object, but got ${described(field)}`);
      continue;
    }
    const { envVar, env, ...more } = field as Record<string, unknown>;
    const variable = envVar ?? env;
    const entry = { ...more, ...(variable === undefined ? {} : { env: variable }) };
    Object.defineProperty(fields, name, { value: entry, enumerable: true });
  }
  return fields;
}

function readObject(value: unknown, at: string, problems: Problems): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  problems.add(at, `must be an object, but got ${described(value)}`);
  return {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() !== "" ? value : undefined;
}
