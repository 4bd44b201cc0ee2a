/**
 * The program inside every Node worker: reads its first message, then becomes the worker.
 *
 * Starting it is a product feature. Whatever is imported from here on runs before the plugin does,
 * so only what every plugin needs is.
 */
import { Channel, readFirstMessage } from "./channel.js";
import { Output } from "./output.js";
import { FATAL_EXIT_CODE, type LoadMessage } from "./protocol.js";
import { toWireError } from "./wire-error.js";
import { Worker } from "./worker.js";

const CHANNEL_FD = 3;

function main(): void {
  // Node has read it. It is the host's business, and not that of the plugin and its programs.
  delete process.env.NODE_COMPILE_CACHE;
  let first;
  try {
    first = readFirstMessage(CHANNEL_FD);
    if (first === null) process.exit(0);
    if (first.type !== "load")
      throw new Error(`the first message is \`${first.type}\`, not \`load\``);
  } catch (error) {
    refuse(error);
    return;
  }
  const worker = new Worker(first as unknown as LoadMessage, new Output());
  process.on("uncaughtException", (error) => {
    worker.crashed(error);
  });
  process.on("unhandledRejection", (error) => {
    worker.rejected(error);
  });
  process.on("SIGTERM", () => void worker.shutdown());
  void worker.start();
}

/** Without a `load` message there is no plugin; all that is left is to say so. */
function refuse(error: unknown): void {
  const exit = () => process.exit(FATAL_EXIT_CODE);
  const channel = new Channel(CHANNEL_FD, {
    control: () => undefined,
    mcp: () => undefined,
    ended: exit,
    violated: () => undefined,
  });
  channel.fatal("protocol", toWireError(error), exit);
}

main();
