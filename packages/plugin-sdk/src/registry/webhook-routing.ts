/** Checks `register.webhookRouting`. */

import type {
  WebhookRouteKeyPath,
  WebhookRoutingOptions,
  WebhookSignature,
  WebhookVerificationChallenge,
} from "../types/webhook-routing.js";
import type { ConfigFields } from "./config-fields.js";
import { isEnvironmentName, isHeaderName, isPolluting } from "./names.js";
import type { Problems } from "./problems.js";
import { compact, listed, Reader } from "./reader.js";

const AT = "register.webhookRouting";

/** The shared webhook that a plugin registered, if it did. */
export class WebhookRouting {
  #options: WebhookRoutingOptions | undefined;
  #calls = 0;
  #verifyTokenField: string | undefined;

  constructor(
    private readonly problems: Problems,
    private readonly fields: ConfigFields,
  ) {}

  /** Takes one call of `register.webhookRouting`. */
  set(options: unknown): void {
    if (this.#calls++ > 0) {
      this.problems.add(AT, "is called more than once", "a plugin has one shared webhook");
      return;
    }
    const reader = Reader.of(options, AT, this.problems);
    if (reader === undefined) return;
    const signature = this.#signature(reader);
    const verificationChallenge = this.#challenge(reader);
    const routeKeyPath = this.#routeKeyPath(reader);
    if (signature !== undefined && routeKeyPath !== undefined) {
      this.#options = compact({ signature, verificationChallenge, routeKeyPath });
    }
  }

  /** Checks the field that the challenge refers to, once all fields are known. */
  checkReferences(): void {
    const field = this.#verifyTokenField;
    if (field === undefined || this.fields.has(field)) return;
    const names = this.fields.names();
    this.problems.add(
      `${AT}.verificationChallenge.verifyTokenConfigField`,
      `\`${field}\` is not a field of \`register.config\``,
      names.length === 0 ? "declare it" : `declare it, or use ${listed(names)}`,
    );
  }

  /** It as the host is told of it. */
  toMetadata(): WebhookRoutingOptions | undefined {
    return this.#options;
  }

  #signature(reader: Reader): WebhookSignature | undefined {
    const signature = reader.object("signature");
    if (signature === undefined) return undefined;
    const header = signature.text("header", "such as `x-hub-signature-256`");
    if (header !== undefined && !isHeaderName(header)) {
      this.problems.add(signature.place("header"), `\`${header}\` is not a name of a header`);
    }
    const format = signature.choice("format", ["sha256-hmac"]);
    const secretEnv = this.#environmentName(signature, "secretEnv", signature.text("secretEnv"));
    if (header === undefined || format === undefined || secretEnv === undefined) return undefined;
    return { header, format, secretEnv };
  }

  #challenge(reader: Reader): WebhookVerificationChallenge | undefined {
    const challenge = reader.optionalObject("verificationChallenge");
    if (challenge === undefined) return undefined;
    const modeParam = challenge.text("modeParam");
    const verifyTokenParam = challenge.text("verifyTokenParam");
    const challengeParam = challenge.text("challengeParam");
    const verifyTokenConfigField = challenge.optionalText("verifyTokenConfigField");
    this.#verifyTokenField = verifyTokenConfigField;
    const verifyTokenEnv = challenge.optionalText("verifyTokenEnv");
    this.#environmentName(challenge, "verifyTokenEnv", verifyTokenEnv);
    if (verifyTokenConfigField === undefined && verifyTokenEnv === undefined) {
      this.problems.add(
        challenge.at,
        "says nowhere what the token must be",
        "give `verifyTokenConfigField` or `verifyTokenEnv`",
      );
    }
    if (modeParam === undefined || verifyTokenParam === undefined || challengeParam === undefined) {
      return undefined;
    }
    return compact({
      modeParam,
      verifyTokenParam,
      challengeParam,
      verifyTokenConfigField,
      verifyTokenEnv,
    });
  }

  #routeKeyPath(reader: Reader): WebhookRouteKeyPath | undefined {
    const paths = reader.object("routeKeyPath");
    if (paths === undefined) return undefined;
    const [itemsPath, keyPath] = [this.#path(paths, "itemsPath"), this.#path(paths, "keyPath")];
    return itemsPath === undefined || keyPath === undefined ? undefined : { itemsPath, keyPath };
  }

  #path(reader: Reader, key: string): string | undefined {
    const path = reader.text(key, "such as `entry` or `changes.0.value.id`");
    if (path === undefined) return undefined;
    if (!path.split(".").some((part) => part === "" || isPolluting(part))) return path;
    this.problems.add(reader.place(key), `\`${path}\` is not a dotted path`);
    return undefined;
  }

  #environmentName(reader: Reader, key: string, name: string | undefined): string | undefined {
    if (name === undefined || isEnvironmentName(name)) return name;
    this.problems.add(
      reader.place(key),
      `\`${name}\` is not a name of an environment variable`,
      "use letters, digits and `_`",
    );
    return undefined;
  }
}
