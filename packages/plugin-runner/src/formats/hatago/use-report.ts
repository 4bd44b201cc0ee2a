/**
 * Tells the host which capabilities were used: one report for many uses. Uses that are not told yet are lost when the
 * host ends suddenly, so none of them waits for long.
 */
import type { UseCounter } from "@hatago/core/host";
import type { WorkerRequest } from "../../protocol.js";

/** How long uses are gathered, from the first of them on. */
const GATHERED_MS = 1_000;

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
    this.#options.uses.onFirst = () => {
      this.#since = Date.now();
      // eslint-disable-next-line no-restricted-globals -- uses are gathered before they are told
      this.#timer = setTimeout(() => void this.send(), GATHERED_MS);
      this.#timer.unref();
    };
    // What was used before this began to listen.
    void this.send();
  }

  async stop(): Promise<void> {
    this.#options.uses.onFirst = null;
    await this.send();
  }

  async send(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const uses = this.#options.uses.take();
    if (uses.length === 0) return;
    try {
      await this.#options.request({ type: "reportUse", since: this.#since, uses });
    } catch (error) {
      this.#options.failed(error);
    }
  }
}
