/**
 * Standard output and error as log pipes: bounded, never blocking, never a reason to crash.
 *
 * Node writes to pipes without blocking and keeps what the reader has not taken, without a limit
 * and with an error event when the reader is gone. This adds the limit and takes the error. The
 * streams are made on first use, as Node does: a silent plugin does not pay for them.
 */
const MAX_BUFFERED = 1024 * 1024;
const STREAMS = ["stdout", "stderr"] as const;

type Stream = NodeJS.WriteStream;

export class Output {
  readonly #streams: Stream[] = [];

  constructor() {
    for (const name of STREAMS) {
      const make = Object.getOwnPropertyDescriptor(process, name)?.get?.bind(process);
      if (make === undefined) continue;
      let stream: Stream | undefined;
      Object.defineProperty(process, name, {
        configurable: true,
        enumerable: true,
        get: () => {
          if (stream === undefined) {
            stream = bounded(make() as Stream);
            this.#streams.push(stream);
          }
          return stream;
        },
      });
    }
  }

  /** Writes one log line; a missing line end is added. */
  write(line: string): void {
    process.stdout.write(line.endsWith("\n") ? line : `${line}\n`);
  }

  /** Resolves when everything written so far has left the process, or cannot any more. */
  async flush(): Promise<void> {
    await Promise.all(
      this.#streams.map(
        (stream) =>
          new Promise<void>((resolve) => {
            if (stream.writableLength === 0 || stream.destroyed) resolve();
            else
              stream.write("", () => {
                resolve();
              });
          }),
      ),
    );
  }
}

function bounded(stream: Stream): Stream {
  const write = stream.write.bind(stream) as (...parts: unknown[]) => boolean;
  let dropped = 0;
  stream.on("error", () => {
    // The reader is gone, and there is nobody left to tell.
  });
  stream.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    if (stream.writableLength > MAX_BUFFERED && chunk !== "") {
      dropped += 1;
      const callback = rest.find((part) => typeof part === "function");
      if (callback !== undefined) process.nextTick(callback);
      return false;
    }
    if (dropped > 0) {
      write(`${dropped} log writes were dropped because the log is read too slowly\n`);
      dropped = 0;
    }
    return write(chunk, ...rest);
  };
  return stream;
}
