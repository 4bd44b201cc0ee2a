/** Tells the host which capabilities were used: one report for many uses. */
import type { UseCounter } from "@hatago/core/host";
import type { WorkerRequest } from "../../protocol.js";

/** How long uses are gathered. */
const PERIOD_MS = 10_000;

export interface UseReportOptions {
  readonly uses: UseCounter;
  request(request: WorkerRequest): Promise<unknown>;
  /** Hears that a report could not be delivered. */
  failed(error: unknown): void;
}

export class UseReport {
  readonly #options: UseReportOptions;
  #since = Date.now();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: UseReportOptions) {
    this.#options = options;
  }

  start(): void {
    this.#since = Date.now();
    this.#timer = setInterval(() => void this.send(), PERIOD_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.send();
  }

  async send(): Promise<void> {
    const uses = this.#options.uses.take();
    const since = this.#since;
    this.#since = Date.now();
    if (uses.length === 0) return;
    try {
      await this.#options.request({ type: "reportUse", since, uses });
    } catch (error) {
      this.#options.failed(error);
    }
  }
}
