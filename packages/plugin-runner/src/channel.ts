/**
 * The channel to the host: messages over frames on one socket, requests with ids both ways.
 *
 * Knows how messages travel and when the other side is gone; knows nothing of plugins, hooks or
 * what an MCP message says.
 */
import { readSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import {
  encodeFrame,
  FrameDecoder,
  FrameError,
  HEADER_LENGTH,
  KIND_CONTROL,
  KIND_MCP,
  MAX_PAYLOAD,
  readHeader,
} from "./frame.js";
import type { ControlMessage, FatalStage, WireError, WorkerRequest } from "./protocol.js";
import { RunnerError, toWireError } from "./wire-error.js";

/** Above this many unsent bytes the worker stops reading until the host has caught up. */
const HIGH_WATER = 4 * MAX_PAYLOAD;
const READ_BUFFER = 64 * 1024;

export interface ChannelListener {
  control(message: ControlMessage): void;
  mcp(serverId: string, message: unknown): void;
  /** The host is gone, or closed the channel. */
  ended(): void;
  /** What arrived is not the protocol; nothing more will be read. */
  violated(error: Error): void;
}

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

/**
 * Reads one frame from a descriptor that nothing else reads, blocking until it is there.
 * Gives the parsed control message, or null when the channel ended instead.
 */
export function readFirstMessage(fd: number): ControlMessage | null {
  const header = Buffer.allocUnsafe(HEADER_LENGTH);
  if (!readExactly(fd, header)) return null;
  const payload = Buffer.allocUnsafe(readHeader(header, 0));
  if (!readExactly(fd, payload)) return null;
  if (header[4] !== KIND_CONTROL) throw new FrameError("the first frame is not a control message");
  return parseControl(payload.toString("utf8"));
}

/**
 * Until `open`, messages leave synchronously and none are read: a plugin that loads at once is
 * reported ready before the time is spent that an asynchronous socket takes to be made.
 */
export class Channel {
  readonly #fd: number;
  readonly #listener: ChannelListener;
  readonly #waiting = new Map<number, Waiting>();
  readonly #mcpPrefixes = new Map<string, string>();
  #socket: Socket | null = null;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #nextId = 1;
  #closed = false;

  constructor(fd: number, listener: ChannelListener) {
    this.#fd = fd;
    this.#listener = listener;
  }

  /** Starts to read what the host sends. */
  open(): void {
    if (this.#socket !== null) return;
    const decoder = new FrameDecoder((kind, payload) => {
      this.#receive(kind, payload);
    });
    const { Socket } = process.getBuiltinModule("node:net");
    const socket = new Socket({
      fd: this.#fd,
      readable: true,
      writable: true,
      // One buffer is handed over again and again instead of one being allocated per read.
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BUFFER),
        callback: (length: number, buffer: Uint8Array) => {
          if (this.#closed) return false;
          try {
            decoder.push(Buffer.from(buffer.buffer, buffer.byteOffset, length));
          } catch (error) {
            this.#closed = true;
            this.#listener.violated(error as Error);
            return false;
          }
          return !this.congested;
        },
      },
    });
    socket.on("drain", () => socket.resume());
    socket.on("end", () => {
      this.#listener.ended();
    });
    socket.on("error", () => {
      this.#listener.ended();
    });
    this.#socket = socket;
  }

  /** Whether the host is so far behind that what can be left out should be. */
  get congested(): boolean {
    return (this.#socket?.writableLength ?? 0) + this.#queuedBytes > HIGH_WATER;
  }

  /** Sends a control message; throws `FrameTooLargeError` before anything is written. */
  send(message: object): void {
    this.#enqueue(encodeFrame(KIND_CONTROL, JSON.stringify(message)));
  }

  /** Sends one MCP message of a server, given as JSON text. */
  sendMcp(serverId: string, json: string): void {
    let prefix = this.#mcpPrefixes.get(serverId);
    if (prefix === undefined) {
      prefix = `{"server":${JSON.stringify(serverId)},"message":`;
      this.#mcpPrefixes.set(serverId, prefix);
    }
    this.#enqueue(encodeFrame(KIND_MCP, `${prefix}${json}}`));
  }

  /** Answers a request of the host; a value that cannot be sent becomes a failure. */
  reply(id: number, value: unknown): void {
    try {
      this.send({ type: "result", id, value });
    } catch (error) {
      this.fail(id, toWireError(error));
    }
  }

  fail(id: number, error: WireError): void {
    this.send({ type: "failure", id, error });
  }

  /** Asks the host and waits for its answer. */
  request(request: WorkerRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.send({ ...request, id });
      this.#waiting.set(id, { resolve, reject });
    });
  }

  /** Ends the worker's part of the protocol: the last message, then the end of the process. */
  fatal(stage: FatalStage, error: WireError, exit: () => void): void {
    this.send({ type: "fatal", stage, error });
    this.flush(exit);
  }

  /** Calls back once everything sent so far has left the process. */
  flush(done: () => void): void {
    this.#writeQueue();
    if (this.#socket === null) done();
    else {
      this.#socket.write("", () => {
        done();
      });
    }
  }

  #enqueue(frame: Buffer): void {
    if (this.#socket === null) {
      this.#writeNow(frame);
      return;
    }
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    // The tick queue runs when the microtasks are done: all answers that one read caused go out
    // in one write.
    if (this.#queue.length === 1) {
      process.nextTick(() => {
        this.#writeQueue();
      });
    }
  }

  #writeNow(frame: Buffer): void {
    let written = 0;
    try {
      while (written < frame.length) written += writeSync(this.#fd, frame, written);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") {
        this.#listener.ended();
        return;
      }
      // A host that passes a non-blocking socket and is slow to read.
      this.open();
      this.#enqueue(frame.subarray(written));
    }
  }

  #writeQueue(): void {
    const queue = this.#queue;
    const [first] = queue;
    if (first === undefined) return;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#socket?.write(queue.length === 1 ? first : Buffer.concat(queue));
  }

  #receive(kind: number, payload: string): void {
    if (kind === KIND_MCP) {
      const envelope = parseObject(payload);
      if (typeof envelope.server !== "string" || !isObject(envelope.message)) {
        throw new FrameError("an MCP frame without `server` and `message`");
      }
      this.#listener.mcp(envelope.server, envelope.message);
      return;
    }
    const message = parseControl(payload);
    if (message.type === "result" || message.type === "failure") this.#settle(message);
    else this.#listener.control(message);
  }

  #settle(message: ControlMessage): void {
    const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
    if (message.id === undefined || waiting === undefined) return;
    this.#waiting.delete(message.id);
    if (message.type === "result") waiting.resolve(message.value);
    else waiting.reject(readFailure(message.error));
  }
}

/** The host's refusal, as an error that the plugin can catch and read. */
function readFailure(value: unknown): RunnerError {
  const error = isObject(value) ? value : {};
  const { name, message, reason } = error;
  return new RunnerError(
    typeof name === "string" ? name : "HostError",
    typeof message === "string" ? message : "the host refused without a reason",
    reason === "timeout" || reason === "unsupported" || reason === "configuration"
      ? reason
      : "refused",
  );
}

function parseControl(payload: string): ControlMessage {
  const message = parseObject(payload);
  if (typeof message.type !== "string") throw new FrameError("a control message without `type`");
  if (message.id !== undefined && typeof message.id !== "number") {
    throw new FrameError("a control message whose `id` is not a number");
  }
  return message as ControlMessage;
}

function parseObject(payload: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    throw new FrameError("a frame whose payload is not JSON");
  }
  if (!isObject(value)) throw new FrameError("a frame whose payload is not an object");
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readExactly(fd: number, target: Buffer): boolean {
  let length = 0;
  while (length < target.length) {
    let read: number;
    try {
      read = readSync(fd, target, length, target.length - length, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ECONNRESET") return false;
      if (code !== "EAGAIN") throw error;
      // A host that passes a non-blocking socket: sleep a moment instead of spinning.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      continue;
    }
    if (read === 0) return false;
    length += read;
  }
  return true;
}
