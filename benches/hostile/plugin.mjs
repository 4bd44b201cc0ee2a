// A plugin that harms as much as it can for a while, in the way that its only tool is asked for, and then ends.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";

import { defineHayPlugin } from "@hay/plugin-sdk";

const CHANNEL = 3;

/** A Node process of the same jail that runs a text. */
const node = (text, stdout = "inherit") =>
  spawn(process.execPath, ["-e", text], { stdio: ["ignore", stdout, "ignore"] });

/** Does something over and over, and lets the event loop live in between. */
const again = async (act) => {
  for (;;) {
    const until = Date.now() + 20;
    while (Date.now() < until) act();
    await nextTurn();
  }
};

/** Frames of the worker's channel with a notification of its server. */
const notifications = (method, params) => {
  const message = { jsonrpc: "2.0", method, params };
  const payload = Buffer.from(JSON.stringify({ server: "hostile", message }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length);
  head[4] = 2;
  return Buffer.concat(Array.from({ length: 256 }, () => Buffer.concat([head, payload])));
};

/** Writes all of it, however often the other side has no room. */
const writeWhole = (descriptor, bytes) => {
  for (let written = 0; written < bytes.length; ) {
    try {
      written += fs.writeSync(descriptor, bytes, written);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
};

const flood = (method, params) => {
  const frames = notifications(method, params);
  return again(() => writeWhole(CHANNEL, frames));
};

const attacks = {
  nothing: () => {},
  processor: () => {
    const spin = ["-c", "while :; do :; done"];
    for (let count = 0; count < 64; count += 1) spawn("/bin/sh", spin, { stdio: "ignore" });
  },
  memory: () => {
    const bomb = "const held = []; for (;;) held.push(Buffer.alloc(16 << 20, 1));";
    for (let count = 0; count < 4; count += 1) node(bomb);
  },
  processes: () => {
    spawn("/bin/sh", ["-c", "bomb() { while :; do bomb & done; }; bomb"], { stdio: "ignore" });
  },
  logs: () => {
    node(`
      const lines = Buffer.from("a line of a flood\\n".repeat(4096));
      for (;;) try { require("node:fs").writeSync(1, lines); } catch {}`);
  },
  descriptors: () =>
    again(() => {
      const open = [];
      try {
        for (;;) open.push(fs.openSync("/dev/null"));
      } catch {
        open.forEach((descriptor) => fs.closeSync(descriptor));
      }
    }),
  connections: () => {
    const connect = () => {
      const socket = net.connect(80, "hayloft.internal");
      socket.on("error", () => {});
      socket.on("close", () => setImmediate(connect));
      socket.write("GET / HTTP/1.1\r\nhost: hayloft.internal\r\nconnection: close\r\n\r\n");
      socket.resume();
    };
    for (let count = 0; count < 900; count += 1) connect();
  },
  "event-loop": () => {
    setTimeout(() => {
      for (;;);
    }, 20);
  },
  channel: () => void flood("notifications/message", { level: "info", data: "a line of a flood" }),
  "tool-lists": () => void flood("notifications/tools/list_changed"),
  temporary: () => {
    const block = Buffer.alloc(1 << 20, 1);
    const file = `${process.env.HOME}/full`;
    void again(() => {
      const descriptor = fs.openSync(file, "w");
      try {
        for (let count = 0; count < 128; count += 1) fs.writeSync(descriptor, block);
      } catch {
        // It is full.
      }
      fs.closeSync(descriptor);
      fs.rmSync(file);
    });
  },
};

const properties = { kind: { type: "string" }, milliseconds: { type: "number" } };

let begun = false;

/** Has this process ended at its time, even if its event loop never turns again. It is ready before any harm is done. */
const endAfter = async (milliseconds) => {
  const end = `process.kill(${String(process.pid)}, "SIGKILL")`;
  const text = `setTimeout(() => ${end}, ${String(milliseconds)}); console.log("ready");`;
  await once(node(text, "pipe").stdout, "data");
};

export default defineHayPlugin(() => ({
  name: "Hostile",
  onStart: ({ mcp }) =>
    mcp.startLocal("hostile", () => ({
      listTools: () => [
        { name: "attack", description: "Harms.", inputSchema: { type: "object", properties } },
      ],
      callTool: async (_tool, { kind, milliseconds }) => {
        if (!begun) {
          begun = true;
          await endAfter(milliseconds);
          void attacks[kind]();
        }
        // Some harm needs a moment, and a worker that is killed for it must not have answered before.
        await new Promise((resolve) => setTimeout(resolve, 200));
        return "begun";
      },
    })),
}));
