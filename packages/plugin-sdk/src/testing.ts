/** Run a plugin in a test, without a host. */

export {
  createTestHost,
  type TestCredentials,
  type TestHost,
  type TestHostOptions,
  type TestLogLine,
} from "./testing/test-host.js";
export type { TestMcpServer, TestTool } from "./testing/test-mcp.js";
export type { TestRequestOptions } from "./testing/test-request.js";
export type { TestAnswer } from "./testing/test-response.js";
