/** Checks `register.cron`. */

import type { CronHandler, CronRetryPolicy } from "../types/cron.js";
import type { CronMetadata } from "../types/metadata.js";
import { scheduleFault } from "./cron-schedule.js";
import { described } from "./described.js";
import { ID_HINT, isId, isPolluting } from "./names.js";
import type { Problems } from "./problems.js";
import { compact, Reader } from "./reader.js";

/** A job that is ready to be run. */
export interface RegisteredCron {
  readonly name: string;
  readonly schedule: string;
  readonly handler: CronHandler;
  readonly retryPolicy?: CronRetryPolicy;
}

/** The jobs that a plugin registered so far. */
export class Crons {
  readonly #crons: RegisteredCron[] = [];
  readonly #names = new Set<string>();
  #calls = 0;

  constructor(private readonly problems: Problems) {}

  /** The jobs, in the order of registration. */
  get list(): readonly RegisteredCron[] {
    return this.#crons;
  }

  /** Takes one call of `register.cron`. */
  add(options: unknown): void {
    const index = this.#calls++;
    const given: unknown =
      typeof options === "object" && options !== null ? Reflect.get(options, "name") : undefined;
    const at =
      typeof given === "string" && isId(given)
        ? `register.cron.${given}`
        : `register.cron[${index}]`;
    const reader = Reader.of(options, at, this.problems);
    if (reader === undefined) return;
    const before = this.problems.count;
    const name = this.#name(reader);
    const schedule = reader.text("schedule", "such as `0 3 * * *` for every day at 3:00");
    const fault = schedule === undefined ? undefined : scheduleFault(schedule);
    if (fault !== undefined) {
      this.problems.add(reader.place("schedule"), fault.message, fault.hint);
    }
    const handler = reader.raw("handler");
    if (typeof handler !== "function") {
      this.problems.add(
        reader.place("handler"),
        `must be a function, but got ${described(handler)}`,
      );
    }
    const retryPolicy = this.#retryPolicy(reader);
    if (this.problems.count !== before || name === undefined || schedule === undefined) return;
    this.#crons.push(
      compact({ name, schedule: schedule.trim(), handler: handler as CronHandler, retryPolicy }),
    );
  }

  /** All jobs as the host is told of them. */
  toMetadata(): CronMetadata[] {
    return this.#crons.map(({ name, schedule, retryPolicy }) =>
      compact({ name, schedule, retryPolicy }),
    );
  }

  #name(reader: Reader): string | undefined {
    const name = reader.text("name");
    if (name === undefined) return undefined;
    if (!isId(name) || isPolluting(name)) {
      this.problems.add(reader.place("name"), `\`${name}\` is not a name of a job`, ID_HINT);
    } else if (this.#names.has(name)) {
      this.problems.add(reader.place("name"), `the job \`${name}\` is registered twice`);
    }
    this.#names.add(name);
    return name;
  }

  #retryPolicy(reader: Reader): CronRetryPolicy | undefined {
    const policy = reader.optionalObject("retryPolicy");
    if (policy === undefined) return undefined;
    const backoff = policy.choice("backoff", ["fixed", "exponential"]);
    const maxRetries = policy.raw("maxRetries");
    if (
      typeof maxRetries !== "number" ||
      !Number.isInteger(maxRetries) ||
      maxRetries < 0 ||
      maxRetries > 100
    ) {
      this.problems.add(
        policy.place("maxRetries"),
        "must be a whole number from 0 to 100",
        "leave `retryPolicy` out for no repetition",
      );
      return undefined;
    }
    return backoff === undefined ? undefined : { maxRetries, backoff };
  }
}
