/** Errors with a status, and what a client is told of any error. */
import { STATUS_CODES } from "node:http";
import { messageOf } from "../wire-error.js";

/** An error that says which status it is. */
export class HttpError extends Error {
  override name = "HttpError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** RFC 9457 problem details. */
export interface ProblemDetails {
  type: string;
  title: string;
  status: number;
  detail?: string;
}

/**
 * What a client is told: the status that the error names, or 500. The message of a server's fault is
 * for the log only.
 */
export function toProblem(error: unknown): ProblemDetails {
  const status = statusOf(error);
  const problem: ProblemDetails = {
    type: "about:blank",
    title: STATUS_CODES[status] ?? "Error",
    status,
  };
  const { expose } = Object(error) as { expose?: unknown };
  if (status < 500 && expose !== false) problem.detail = messageOf(error);
  return problem;
}

function statusOf(error: unknown): number {
  const { status, statusCode } = Object(error) as { status?: unknown; statusCode?: unknown };
  for (const candidate of [status, statusCode]) {
    if (
      Number.isInteger(candidate) &&
      (candidate as number) >= 400 &&
      (candidate as number) < 600
    ) {
      return candidate as number;
    }
  }
  return 500;
}
