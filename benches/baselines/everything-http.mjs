// The reference server over its own Streamable HTTP, on a free port.
import { Server } from "node:http";

// It takes port 0, but would print that instead of the one it got.
const listen = Server.prototype.listen;
Server.prototype.listen = function (...args) {
  // Callers keep their connections while others take their turn.
  this.keepAliveTimeout = 0;
  this.once("listening", () => {
    process.stdout.write(
      `${JSON.stringify({ address: `127.0.0.1:${this.address().port}`, path: "/mcp" })}\n`,
    );
  });
  return listen.apply(this, args);
};
process.env.PORT = "0";
// It writes a line for each request, which nobody here pays for.
console.log = () => {};

await import("@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js");
