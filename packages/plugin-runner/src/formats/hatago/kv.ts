/** The `kv` capability: the host keeps the texts; what can be checked before asking is checked here. */
import type { KV } from "@hatago/core/host";
import type { WorkerRequest } from "../../protocol.js";

const LONGEST_KEY = 512;
const LARGEST_VALUE = 1024 * 1024;

/** Half of a character, which no frame of the channel can carry. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Operations that the host is asked for at once; it does one after the other anyway. */
const AT_ONCE = 16;

export function createKv(ask: (request: WorkerRequest) => Promise<unknown>): KV {
  const request = limited(ask);
  return {
    async get(key) {
      const answer = await request({ type: "kv", op: "get", key: checkKey(key) });
      const { value } = Object(answer) as { value?: unknown };
      return typeof value === "string" ? value : null;
    },
    async set(key, value, ttl) {
      const text: unknown = value;
      if (typeof text !== "string") throw new TypeError("the value of `kv.set` must be a text");
      if (LONE_SURROGATE.test(text)) {
        throw new TypeError("the value of `kv.set` must be well-formed Unicode");
      }
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

/** Lets the rest wait here, in order, rather than fill the channel. */
function limited(
  ask: (request: WorkerRequest) => Promise<unknown>,
): (request: WorkerRequest) => Promise<unknown> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (request) => {
    if (running >= AT_ONCE) await new Promise<void>((resume) => waiting.push(resume));
    else running += 1;
    try {
      return await ask(request);
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

function checkKey(key: unknown): string {
  if (typeof key !== "string" || key === "") throw new TypeError("a key of `kv` must be a text");
  if (LONE_SURROGATE.test(key)) throw new TypeError("a key of `kv` must be well-formed Unicode");
  if (Buffer.byteLength(key) > LONGEST_KEY) {
    throw new RangeError(`a key of \`kv\` has at most ${LONGEST_KEY} bytes`);
  }
  return key;
}
