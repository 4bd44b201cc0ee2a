/**
 * One running tool call, as the tool sees it: the third argument of `callTool`.
 *
 * Named like the `extra` of the official SDK's handlers, so that a handler can be moved between
 * the two.
 */
import { type McpLink, notificationJson, type RequestId } from "./json-rpc.js";

export interface Progress {
  progress: number;
  total?: number;
  message?: string;
}

export class ToolCall {
  readonly requestId: RequestId;
  readonly _meta: Record<string, unknown> | undefined;
  readonly #link: McpLink;
  #controller: AbortController | undefined;
  #cancelled: Error | undefined;
  #finished = false;

  constructor(requestId: RequestId, meta: unknown, link: McpLink) {
    this.requestId = requestId;
    this._meta =
      typeof meta === "object" && meta !== null ? (meta as Record<string, unknown>) : undefined;
    this.#link = link;
  }

  /** Aborts when the caller gave up. Made on first use: most tools never look. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled);
    }
    return this.#controller.signal;
  }

  /** Tells the caller how far the tool is; does nothing when the caller did not ask. */
  sendProgress = (progress: Progress): Promise<void> => {
    const token = this._meta?.progressToken;
    if (token === undefined || this.#link.congested) return Promise.resolve();
    return this.sendNotification({
      method: "notifications/progress",
      params: { ...progress, progressToken: token },
    });
  };

  /** Sends any notification that belongs to this call. */
  // eslint-disable-next-line @typescript-eslint/require-await -- a promise as in the SDK's handlers
  sendNotification = async (notification: { method: string; params?: object }): Promise<void> => {
    if (this.#finished || this.#cancelled !== undefined) return;
    this.#link.send(notificationJson(notification.method, notification.params));
  };

  cancel(reason: string): void {
    const error = new Error(reason);
    error.name = "AbortError";
    this.#cancelled = error;
    this.#controller?.abort(error);
  }

  finish(): void {
    this.#finished = true;
  }
}
