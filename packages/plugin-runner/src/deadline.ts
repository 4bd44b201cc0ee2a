/** Deadlines for code that is not ours. */
import { RunnerError } from "./wire-error.js";

/**
 * Runs `work` and gives up on it after `milliseconds`.
 *
 * The work itself cannot be stopped; when it fails later, `late` hears of it.
 */
export function withDeadline<T>(
  what: string,
  milliseconds: number,
  work: () => T | PromiseLike<T>,
  late: (error: unknown) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let over = false;
    // eslint-disable-next-line no-restricted-globals -- a deadline
    const timer = setTimeout(() => {
      over = true;
      reject(
        new RunnerError(
          "TimeoutError",
          `\`${what}\` did not end within ${milliseconds} ms`,
          "timeout",
        ),
      );
    }, milliseconds);
    const fail = (error: unknown) => {
      clearTimeout(timer);
      if (over) late(error);
      // What a plugin rejects with is passed on as it is.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      else reject(error);
    };
    try {
      Promise.resolve(work()).then((value) => {
        clearTimeout(timer);
        resolve(value);
      }, fail);
    } catch (error) {
      fail(error);
    }
  });
}
