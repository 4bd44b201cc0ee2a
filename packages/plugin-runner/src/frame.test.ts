import { describe, expect, it } from "vitest";
import {
  encodeFrame,
  FrameDecoder,
  FrameError,
  FrameTooLargeError,
  KIND_CONTROL,
  KIND_MCP,
  MAX_PAYLOAD,
} from "./frame.js";

/** Deterministic numbers, so that a failure can be repeated. */
function* numbers(seed: number): Generator<number> {
  let state = seed;
  for (;;) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    yield state;
  }
}

describe("frames", () => {
  it("come out as they went in, however the bytes are cut", () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = numbers(seed);
      const next = (limit: number) => (random.next().value as number) % limit;
      const sent = Array.from({ length: 1 + next(6) }, () => ({
        kind: next(2) === 0 ? KIND_CONTROL : KIND_MCP,
        payload: JSON.stringify({ text: "é€😀\u0000".repeat(next(400)) }),
      }));
      const bytes = Buffer.concat(sent.map(({ kind, payload }) => encodeFrame(kind, payload)));
      const received: { kind: number; payload: string }[] = [];
      const decoder = new FrameDecoder((kind, payload) => received.push({ kind, payload }));
      // One buffer for all pieces, as a socket reuses its own.
      const reused = Buffer.alloc(bytes.length);
      for (let at = 0; at < bytes.length;) {
        const length = Math.min(1 + next(next(3) === 0 ? 4 : 900), bytes.length - at);
        bytes.copy(reused, 0, at, at + length);
        decoder.push(reused.subarray(0, length));
        at += length;
      }
      expect(received).toEqual(sent);
    }
  });

  it("hold exactly the limit and not a byte more", () => {
    const fits = "x".repeat(MAX_PAYLOAD);
    let received = "";
    new FrameDecoder((_, payload) => {
      received = payload;
    }).push(encodeFrame(KIND_MCP, fits));
    expect(received).toBe(fits);
    expect(() => encodeFrame(KIND_MCP, `${fits}x`)).toThrow(FrameTooLargeError);
    expect(() => encodeFrame(KIND_MCP, "é".repeat(MAX_PAYLOAD / 2 + 1))).toThrow(
      "a message of 4194306 bytes does not fit a frame of at most 4194304 bytes",
    );
  });

  it.each([
    ["too long", [0, 0x40, 0, 1, 1]],
    ["of an unknown kind", [0, 0, 0, 1, 3]],
    ["of kind zero", [0, 0, 0, 1, 0]],
  ])("that are %s are refused by their header alone, whole or in pieces", (_, header) => {
    const unused = () => {
      throw new Error("no frame is complete");
    };
    expect(() => {
      new FrameDecoder(unused).push(Buffer.from(header));
    }).toThrow(FrameError);
    const decoder = new FrameDecoder(unused);
    decoder.push(Buffer.from(header.slice(0, 4)));
    expect(() => {
      decoder.push(Buffer.from(header.slice(4)));
    }).toThrow(FrameError);
  });
});
