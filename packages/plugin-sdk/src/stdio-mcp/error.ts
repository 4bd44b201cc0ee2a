/** The server could not be reached, did not answer in time, or answered with an error. */
export class StdioMcpError extends Error {
  /** The JSON-RPC error code, where the server answered with an error. */
  readonly code: number | undefined;
  /** What the server said about it. */
  readonly data: unknown;

  constructor(message: string, code?: number, data?: unknown) {
    super(message);
    this.name = "StdioMcpError";
    this.code = code;
    this.data = data;
  }
}
