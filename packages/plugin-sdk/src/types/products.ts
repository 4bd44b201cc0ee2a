import type { JsonValue } from "./json.js";

/** One form in which a product is sold. */
export interface HayProductVariant {
  /** The id in the plugin's source, unique within the product. */
  externalId: string;
  /** What tells it from its siblings. */
  title?: string;
  /** The merchant's own number. */
  sku?: string;
  /** A decimal number as text, such as `19.90`. */
  price?: string;
  /** ISO 4217, such as `EUR`. */
  currency?: string;
  /** Whether it can be bought now. */
  available?: boolean;
  /** What else the source says. */
  attributes?: Readonly<Record<string, JsonValue>>;
}

/** A product in the form that all sources share. Its source is stamped by the host. */
export interface HayProduct {
  /** The id in the plugin's source. */
  externalId: string;
  /** What a person reads. */
  title: string;
  /** Text about it. */
  description?: string;
  /** Its page. */
  url?: string;
  /** Its pictures. */
  imageUrls?: readonly string[];
  /** The forms in which it is sold. */
  variants?: readonly HayProductVariant[];
  /** What else the source says. */
  attributes?: Readonly<Record<string, JsonValue>>;
}

/** Publishes the products of a plugin's source. */
export interface HayProductSourceAPI {
  /** Adds products, or replaces those with the same `externalId`. */
  upsert(products: readonly HayProduct[]): Promise<void>;
  /** Removes one product. */
  delete(externalId: string): Promise<void>;
}
