/** How a provider signs its webhooks. */
export interface WebhookSignature {
  /** The header that carries the signature. */
  header: string;
  /** HMAC-SHA-256 over the raw body, in hexadecimal, with `sha256=` before it. */
  format: "sha256-hmac";
  /** The environment variable of the host that holds the key. It must be listed under `hay-plugin.env`. */
  secretEnv: string;
}

/** How a provider asks whether the address is ours. One of the two sources of the token must be given. */
export interface WebhookVerificationChallenge {
  /** The query parameter that says that this is a challenge. */
  modeParam: string;
  /** The query parameter with the token to compare. */
  verifyTokenParam: string;
  /** The query parameter to send back. */
  challengeParam: string;
  /** The configuration field with the expected token. */
  verifyTokenConfigField?: string;
  /** The environment variable of the host with the expected token. */
  verifyTokenEnv?: string;
}

/** Where the routing keys are in a webhook's body, as dotted paths. */
export interface WebhookRouteKeyPath {
  /** From the body to the list of items. */
  itemsPath: string;
  /** From an item to its key. */
  keyPath: string;
}

/**
 * One webhook address for all organizations. The host checks the signature, groups the items by routing key, and gives
 * each organization those whose keys its `onConnected` returned.
 */
export interface WebhookRoutingOptions {
  /** How the provider signs. */
  signature: WebhookSignature;
  /** How the provider asks whether the address is ours. */
  verificationChallenge?: WebhookVerificationChallenge;
  /** Where the routing keys are. */
  routeKeyPath: WebhookRouteKeyPath;
}
