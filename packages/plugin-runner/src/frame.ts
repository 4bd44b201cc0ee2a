/**
 * Frames of the channel: `u32` big-endian payload length, `u8` kind, payload.
 *
 * Pure: bytes in, frames out. Knows neither sockets nor what a payload means.
 */

/** The largest payload in bytes that either side may send. */
export const MAX_PAYLOAD = 4 * 1024 * 1024;

export const HEADER_LENGTH = 5;

export const KIND_CONTROL = 1;
export const KIND_MCP = 2;

/** Thrown for bytes that are not the protocol: the channel cannot be read on. */
export class FrameError extends Error {
  override name = "FrameError";
}

/** A payload that is too large for one frame; the sender still has the chance to answer smaller. */
export class FrameTooLargeError extends Error {
  override name = "FrameTooLargeError";
  readonly size: number;

  constructor(size: number) {
    super(`a message of ${size} bytes does not fit a frame of at most ${MAX_PAYLOAD} bytes`);
    this.size = size;
  }
}

/** One frame around a JSON text. */
export function encodeFrame(kind: number, payload: string): Buffer {
  const size = Buffer.byteLength(payload);
  if (size > MAX_PAYLOAD) throw new FrameTooLargeError(size);
  const frame = Buffer.allocUnsafe(HEADER_LENGTH + size);
  frame.writeUInt32BE(size, 0);
  frame[4] = kind;
  frame.write(payload, HEADER_LENGTH, size, "utf8");
  return frame;
}

/** The payload length that a header announces; refuses what no frame may have. */
export function readHeader(bytes: Buffer, offset: number): number {
  const size = bytes.readUInt32BE(offset);
  const kind = bytes.readUInt8(offset + 4);
  if (size > MAX_PAYLOAD) {
    throw new FrameError(`a frame announces ${size} bytes; at most ${MAX_PAYLOAD} are allowed`);
  }
  if (kind !== KIND_CONTROL && kind !== KIND_MCP) {
    throw new FrameError(`a frame has the unknown kind ${kind}`);
  }
  return size;
}

export type FrameListener = (kind: number, payload: string) => void;

/**
 * Cuts a stream of bytes into frames.
 *
 * The bytes that are given to `push` may be reused by the caller afterwards: what is not yet a
 * whole frame is copied, and copied once however many pieces it comes in.
 */
export class FrameDecoder {
  readonly #listener: FrameListener;
  readonly #header = Buffer.allocUnsafe(HEADER_LENGTH);
  #headerLength = 0;
  #payload = Buffer.alloc(0);
  #payloadLength = 0;

  constructor(listener: FrameListener) {
    this.#listener = listener;
  }

  push(bytes: Buffer): void {
    let offset = 0;
    while (offset < bytes.length) {
      const whole = this.#headerLength === 0 ? this.#takeWhole(bytes, offset) : -1;
      offset = whole === -1 ? this.#takePart(bytes, offset) : whole;
    }
  }

  /** Reads a frame that lies completely in `bytes` without copying it; -1 when it does not. */
  #takeWhole(bytes: Buffer, offset: number): number {
    if (bytes.length - offset < HEADER_LENGTH) return -1;
    const start = offset + HEADER_LENGTH;
    const end = start + readHeader(bytes, offset);
    if (end > bytes.length) return -1;
    const kind = bytes.readUInt8(offset + 4);
    this.#listener(kind, bytes.toString("utf8", start, end));
    return end;
  }

  #takePart(bytes: Buffer, offset: number): number {
    let at = offset;
    if (this.#headerLength < HEADER_LENGTH) {
      const taken = bytes.copy(
        this.#header,
        this.#headerLength,
        at,
        at + HEADER_LENGTH - this.#headerLength,
      );
      this.#headerLength += taken;
      at += taken;
      if (this.#headerLength < HEADER_LENGTH) return at;
      this.#payload = Buffer.allocUnsafe(readHeader(this.#header, 0));
      this.#payloadLength = 0;
    }
    const payload = this.#payload;
    const taken = bytes.copy(payload, this.#payloadLength, at);
    this.#payloadLength += taken;
    if (this.#payloadLength === payload.length) {
      this.#headerLength = 0;
      this.#payload = Buffer.alloc(0);
      this.#listener(this.#header.readUInt8(4), payload.toString("utf8"));
    }
    return at + taken;
  }
}
