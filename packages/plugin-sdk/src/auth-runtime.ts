/** What plugins read credentials through. */

import type { AuthState, HayAuthRuntimeAPI } from "./types/auth.js";

/**
 * Gives a plugin the present credentials. Each call gives a copy of its own, so that a plugin that changes it changes
 * nothing else.
 */
export function createAuthRuntime(state: () => AuthState | null): HayAuthRuntimeAPI {
  return {
    get: () => structuredClone(state()),
  };
}
