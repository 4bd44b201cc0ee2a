/**
 * Whatever was thrown, as the `error` object of the protocol.
 *
 * Plugins throw strings, objects without a prototype and errors whose getters throw; none of it
 * may end the worker, so every access is guarded.
 */
import type { FailureReason, WireError, WireProblem } from "./protocol.js";

const MAX_MESSAGE = 8 * 1024;
const MAX_STACK = 16 * 1024;

/** Known by name: parts of the runner that are loaded later have a copy of this module of their own. */
const BRAND = Symbol.for("@hayloft/plugin-runner/error");

/** An error that the runner itself raises, with the reason that the host acts on. */
export class RunnerError extends Error {
  readonly [BRAND] = true;
  readonly reason: FailureReason;
  readonly problems: WireProblem[] | undefined;

  constructor(name: string, message: string, reason: FailureReason, problems?: WireProblem[]) {
    super(message);
    this.name = name;
    this.reason = reason;
    this.problems = problems;
  }
}

/** A call that was refused because of the state that the worker is in. */
export function refused(message: string): RunnerError {
  return new RunnerError("RefusedError", message, "refused");
}

/** Turns any thrown value into the protocol's error; never throws. */
export function toWireError(thrown: unknown, reason: FailureReason = "thrown"): WireError {
  try {
    return describe(thrown, reason);
  } catch {
    return { name: "Error", message: "a value that cannot be read was thrown", reason };
  }
}

/** The message of any thrown value; never throws. */
export function messageOf(thrown: unknown): string {
  return toWireError(thrown).message;
}

function describe(thrown: unknown, reason: FailureReason): WireError {
  if (typeof thrown !== "object" || thrown === null) {
    return { name: "Error", message: cut(String(thrown), MAX_MESSAGE), reason };
  }
  const { name, message, stack, problems } = thrown as Record<string, unknown>;
  const error: WireError = {
    name: typeof name === "string" && name !== "" ? cut(name, 200) : "Error",
    message: cut(typeof message === "string" ? message : asText(thrown), MAX_MESSAGE),
    reason: isRunnerError(thrown) ? thrown.reason : reason,
  };
  if (typeof stack === "string") error.stack = cut(stack, MAX_STACK);
  const readable = readProblems(problems);
  if (readable.length > 0) {
    error.problems = readable;
    if (!isRunnerError(thrown)) error.reason = "configuration";
  } else if (name === "ConfigMissingError") {
    error.reason = "configuration";
  }
  return error;
}

function isRunnerError(value: object): value is RunnerError {
  return BRAND in value;
}

function readProblems(value: unknown): WireProblem[] {
  if (!Array.isArray(value)) return [];
  const problems: WireProblem[] = [];
  for (const item of value as unknown[]) {
    if (typeof item !== "object" || item === null) continue;
    const { at, message, hint } = item as Record<string, unknown>;
    if (typeof at !== "string" || typeof message !== "string") continue;
    problems.push(typeof hint === "string" ? { at, message, hint } : { at, message });
  }
  return problems;
}

function asText(value: object): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "an error without a message was thrown";
  }
}

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}…`;
}
