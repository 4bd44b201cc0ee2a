/** The `kv` capability: the host keeps the texts; what can be checked before asking is checked here. */
import type { KV } from "@hatago/core/host";
import type { WorkerRequest } from "../../protocol.js";

const LONGEST_KEY = 512;
const LARGEST_VALUE = 1024 * 1024;

export function createKv(request: (request: WorkerRequest) => Promise<unknown>): KV {
  return {
    async get(key) {
      const answer = await request({ type: "kv", op: "get", key: checkKey(key) });
      const { value } = Object(answer) as { value?: unknown };
      return typeof value === "string" ? value : null;
    },
    async set(key, value, ttl) {
      const text: unknown = value;
      if (typeof text !== "string") throw new TypeError("the value of `kv.set` must be a text");
      const size = Buffer.byteLength(text);
      if (size > LARGEST_VALUE) {
        throw new RangeError(`the value has ${size} bytes; \`kv\` keeps at most ${LARGEST_VALUE}`);
      }
      if (ttl !== undefined && !(Number.isInteger(ttl) && ttl > 0)) {
        throw new RangeError(
          "the time to live of `kv.set` must be a whole number of seconds above 0",
        );
      }
      const ttlSeconds = ttl === undefined ? {} : { ttlSeconds: ttl };
      await request({ type: "kv", op: "set", key: checkKey(key), value: text, ...ttlSeconds });
    },
    async delete(key) {
      await request({ type: "kv", op: "delete", key: checkKey(key) });
    },
  };
}

function checkKey(key: unknown): string {
  if (typeof key !== "string" || key === "") throw new TypeError("a key of `kv` must be a text");
  if (Buffer.byteLength(key) > LONGEST_KEY) {
    throw new RangeError(`a key of \`kv\` has at most ${LONGEST_KEY} bytes`);
  }
  return key;
}
