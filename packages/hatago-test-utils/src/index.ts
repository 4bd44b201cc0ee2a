/** Runs a Hatago plugin in a test: capabilities that keep what happened, and a server to call. */

export {
  createMockContext,
  type MockContext,
  type MockContextOptions,
  type MockLogLine,
} from "./mock-context.js";
export { CapabilityError } from "@hatago/core";
