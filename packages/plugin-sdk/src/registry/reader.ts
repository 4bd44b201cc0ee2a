import { described } from "./described.js";
import { isPolluting } from "./names.js";
import type { Problems } from "./problems.js";

/**
 * Reads the properties of an object that a plugin gave, noting each that is wrong. It remembers which ones were asked
 * for, so that misspelt ones can be told.
 */
export class Reader {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #asked = new Set<string>();

  private constructor(
    value: object,
    readonly at: string,
    readonly problems: Problems,
  ) {
    this.#value = value as Record<string, unknown>;
  }

  /** A reader, or `undefined` after noting that the value is no object. */
  static of(value: unknown, at: string, problems: Problems): Reader | undefined {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      problems.add(at, `must be an object, but got ${described(value)}`);
      return undefined;
    }
    return new Reader(value, at, problems);
  }

  /** The place of a property. */
  place(key: string): string {
    return `${this.at}.${key}`;
  }

  /** Any property, unchecked. */
  raw(key: string): unknown {
    this.#asked.add(key);
    return this.#value[key];
  }

  /** A text that must be there and not be blank. */
  text(key: string, hint?: string): string | undefined {
    const value = this.raw(key);
    if (typeof value === "string" && value.trim() !== "") return value;
    this.problems.add(
      this.place(key),
      value === undefined
        ? "is missing"
        : typeof value === "string"
          ? "is blank"
          : `must be a string, but got ${described(value)}`,
      hint,
    );
    return undefined;
  }

  /** A text that may be absent, and may be empty. */
  optionalText(key: string): string | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "string") return value;
    this.problems.add(this.place(key), `must be a string, but got ${described(value)}`);
    return undefined;
  }

  /** A switch that may be absent. */
  flag(key: string): boolean | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "boolean") return value;
    this.problems.add(
      this.place(key),
      `must be \`true\` or \`false\`, but got ${described(value)}`,
    );
    return undefined;
  }

  /** One of a few words. */
  choice<const Word extends string>(key: string, words: readonly Word[]): Word | undefined {
    const value = this.raw(key);
    const word = words.find((candidate) => candidate === value);
    if (word !== undefined) return word;
    this.problems.add(
      this.place(key),
      value === undefined
        ? "is missing"
        : typeof value === "string"
          ? `\`${value}\` is not known`
          : `must be a string, but got ${described(value)}`,
      `use ${listed(words)}`,
    );
    return undefined;
  }

  /** A list of texts, none of them blank, that may be absent. */
  texts(key: string): string[] | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) {
      this.problems.add(
        this.place(key),
        `must be an array of strings, but got ${described(value)}`,
      );
      return undefined;
    }
    const items: string[] = [];
    value.forEach((item: unknown, index) => {
      if (typeof item === "string" && item.trim() !== "") items.push(item);
      else
        this.problems.add(
          `${this.place(key)}[${index}]`,
          `must be a string, but got ${described(item)}`,
        );
    });
    return items;
  }

  /** Texts by name that may be absent. */
  textMap(key: string): Record<string, string> | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    const reader = Reader.of(value, this.place(key), this.problems);
    if (reader === undefined) return undefined;
    const texts: Record<string, string> = {};
    for (const [name, text] of Object.entries(value as object) as [string, unknown][]) {
      if (isPolluting(name)) {
        this.problems.add(reader.place(name), `\`${name}\` is not allowed as a name`);
      } else if (typeof text === "string") {
        texts[name] = text;
      } else {
        this.problems.add(reader.place(name), `must be a string, but got ${described(text)}`);
      }
    }
    return texts;
  }

  /** A further object inside that must be there. */
  object(key: string): Reader | undefined {
    const value = this.raw(key);
    if (value === undefined) {
      this.problems.add(this.place(key), "is missing");
      return undefined;
    }
    return Reader.of(value, this.place(key), this.problems);
  }

  /** A further object inside that may be absent. */
  optionalObject(key: string): Reader | undefined {
    const value = this.raw(key);
    return value === undefined ? undefined : Reader.of(value, this.place(key), this.problems);
  }

  /** The properties that nothing asked for. */
  unread(): string[] {
    return Object.keys(this.#value).filter((key) => !this.#asked.has(key));
  }
}

/** `a`, `b` or `c`, each in backticks. */
export function listed(words: readonly string[]): string {
  const quoted = words.map((word) => `\`${word}\``);
  const last = quoted.pop() ?? "";
  return quoted.length === 0 ? last : `${quoted.join(", ")} or ${last}`;
}

/** The object without its `undefined` properties, which is how it looks as JSON. */
export function compact<T extends object>(value: T): Compact<T> {
  return Object.fromEntries(
    Object.entries(value).filter(([, item]) => item !== undefined),
  ) as Compact<T>;
}

type Compact<T> = {
  [Key in keyof T as undefined extends T[Key] ? never : Key]: T[Key];
} & {
  [Key in keyof T as undefined extends T[Key] ? Key : never]?: Exclude<T[Key], undefined>;
};
