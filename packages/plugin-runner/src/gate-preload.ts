/**
 * The gate for Node programs that are not the runner: `node --require gate.cjs`, with the socket's
 * path in `HAYLOFT_GATE`. It runs before any program, on any Node that a plugin may bring.
 */
import { openGate } from "./gate.js";

const path = process.env.HAYLOFT_GATE;
if (path !== undefined && path !== "") openGate(path);
