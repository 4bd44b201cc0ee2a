/** Checks `register.auth`. */

import type { OAuth2TokenCall } from "../types/auth.js";
import type { ConfigFieldReference } from "../types/config.js";
import type { AuthMethodMetadata } from "../types/metadata.js";
import type { ConfigFields } from "./config-fields.js";
import { described } from "./described.js";
import { ID_HINT, isId, isPolluting } from "./names.js";
import type { Problems } from "./problems.js";
import { compact, listed, Reader } from "./reader.js";

// The host fills these in itself. Another value would break the exchange, or its protection.
const HOST_PARAMETERS = [
  "client_id",
  "client_secret",
  "redirect_uri",
  "response_type",
  "scope",
  "state",
  "code_challenge",
  "code_challenge_method",
];

/** The ways to authenticate that a plugin registered so far. */
export class AuthMethods {
  readonly #methods: AuthMethodMetadata[] = [];
  readonly #ids = new Set<string>();
  readonly #references: { at: string; field: string }[] = [];

  constructor(
    private readonly problems: Problems,
    private readonly fields: ConfigFields,
  ) {}

  /** Takes one call of `register.auth.apiKey`. */
  addApiKey(options: unknown): void {
    const reader = this.#open(options, "register.auth.apiKey");
    if (reader === undefined) return;
    const before = this.problems.count;
    const id = this.#id(reader);
    const label = reader.text("label");
    const configField = reader.text("configField", "name a field of `register.config`");
    if (configField !== undefined) this.#refer(reader.place("configField"), configField);
    if (id === undefined || label === undefined || configField === undefined) return;
    if (this.problems.count !== before) return;
    this.#methods.push({ type: "apiKey", id, label, configField });
  }

  /** Takes one call of `register.auth.oauth2`. */
  addOAuth2(options: unknown): void {
    const reader = this.#open(options, "register.auth.oauth2");
    if (reader === undefined) return;
    const before = this.problems.count;
    const method = {
      type: "oauth2" as const,
      id: this.#id(reader),
      label: reader.text("label"),
      authorizationUrl: this.#url(reader, "authorizationUrl"),
      tokenUrl: this.#url(reader, "tokenUrl"),
      scopes: reader.texts("scopes"),
      optionalScopes: reader.texts("optionalScopes"),
      pkce: reader.flag("pkce"),
      clientId: this.#reference(reader, "clientId"),
      clientSecret: this.#reference(reader, "clientSecret"),
      authorizationParams: this.#authorizationParameters(reader),
      scopeSeparator: this.#separator(reader),
      tokenExchange: this.#tokenCall(reader, "tokenExchange"),
      tokenRefresh: this.#tokenCall(reader, "tokenRefresh"),
    };
    if (this.problems.count !== before) return;
    this.#methods.push(compact(method) as AuthMethodMetadata);
  }

  /** Checks the fields that methods refer to, once all fields are known. */
  checkReferences(): void {
    for (const { at, field } of this.#references) {
      if (!this.fields.has(field)) {
        const names = this.fields.names();
        this.problems.add(
          at,
          `\`${field}\` is not a field of \`register.config\``,
          names.length === 0
            ? `declare it: \`register.config({ ${field}: { type: "string" } })\``
            : `declare it, or use ${listed(names)}`,
        );
        continue;
      }
      const type = this.fields.get(field)?.type;
      if (type !== undefined && type !== "string") {
        this.problems.add(at, `the field \`${field}\` is a \`${type}\`, but must be a \`string\``);
      }
    }
  }

  /** All methods as the host is told of them. */
  toMetadata(): AuthMethodMetadata[] {
    return [...this.#methods];
  }

  #open(options: unknown, at: string): Reader | undefined {
    const id: unknown =
      typeof options === "object" && options !== null ? Reflect.get(options, "id") : undefined;
    return Reader.of(
      options,
      typeof id === "string" && isId(id) ? `${at}.${id}` : at,
      this.problems,
    );
  }

  #id(reader: Reader): string | undefined {
    const id = reader.text("id");
    if (id === undefined) return undefined;
    if (!isId(id) || isPolluting(id)) {
      this.problems.add(reader.place("id"), `\`${id}\` is not an id`, ID_HINT);
      return undefined;
    }
    if (this.#ids.has(id)) {
      this.problems.add(reader.place("id"), `the method \`${id}\` is registered twice`);
      return undefined;
    }
    this.#ids.add(id);
    return id;
  }

  #url(reader: Reader, key: string): string | undefined {
    const text = reader.text(key);
    if (text === undefined) return undefined;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
      this.problems.add(
        reader.place(key),
        `\`${text}\` is not an http(s) address`,
        "write it in full, such as `https://provider.example/oauth/authorize`",
      );
      return undefined;
    }
    if (url.username !== "" || url.password !== "") {
      this.problems.add(
        reader.place(key),
        "has a user name or password in it",
        "use `clientId` and `clientSecret`",
      );
      return undefined;
    }
    return text;
  }

  #reference(reader: Reader, key: string): ConfigFieldReference | undefined {
    const hint = `write \`${key}: config.field("${key}")\``;
    const value = reader.raw(key);
    const name: unknown =
      typeof value === "object" && value !== null ? Reflect.get(value, "name") : undefined;
    if (typeof name !== "string" || name === "") {
      this.problems.add(
        reader.place(key),
        value === undefined
          ? "is missing"
          : `must be a reference to a configuration field, but got ${described(value)}`,
        hint,
      );
      return undefined;
    }
    this.#refer(reader.place(key), name);
    return { name };
  }

  #refer(at: string, field: string): void {
    this.#references.push({ at, field });
  }

  #authorizationParameters(reader: Reader): Record<string, string> | undefined {
    const parameters = reader.textMap("authorizationParams");
    for (const name of Object.keys(parameters ?? {})) {
      if (HOST_PARAMETERS.includes(name)) {
        this.problems.add(
          `${reader.place("authorizationParams")}.${name}`,
          `\`${name}\` is set by the host`,
          "leave it out",
        );
      }
    }
    return parameters;
  }

  #separator(reader: Reader): string | undefined {
    const separator = reader.optionalText("scopeSeparator");
    if (separator === "") {
      this.problems.add(reader.place("scopeSeparator"), "is empty, so scopes would run together");
    }
    return separator;
  }

  #tokenCall(reader: Reader, key: string): OAuth2TokenCall | undefined {
    const call = reader.optionalObject(key);
    if (call === undefined) return undefined;
    const [url, grantType, tokenParam] = [
      this.#url(call, "url"),
      call.text("grantType"),
      call.text("tokenParam"),
    ];
    const includeClientSecret = call.flag("includeClientSecret");
    if (url === undefined || grantType === undefined || tokenParam === undefined) return undefined;
    return compact({ url, grantType, tokenParam, includeClientSecret });
  }
}
