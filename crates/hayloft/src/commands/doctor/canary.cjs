"use strict";
// The canary: what a hostile plugin would try first, in a jail like a plugin's. `hayloft doctor` starts it with what
// it shall go for, and it says of each act whether that succeeded, one JSON object per line. It harms nothing: what it
// reads, writes to, signals and connects to was laid out for it.

const { execFileSync } = require("node:child_process");
const dgram = require("node:dgram");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");

const bait = JSON.parse(process.argv[2]);

/** An act that takes longer was not answered, which is as good as refused. */
const PATIENCE_MS = 3000;

/** What every plugin needs. Without these, refusals prove nothing. */
const controls = {
  "read its own folder": () => fs.readFileSync(path.join(__dirname, "own.txt"), "utf8") === bait.word,
  "write a temporary file": () => {
    const file = path.join(bait.home, "note.txt");
    fs.writeFileSync(file, bait.word);
    return fs.readFileSync(file, "utf8") === bait.word;
  },
  "start a program": () => execFileSync("/bin/sh", ["-c", "echo alive"], { encoding: "utf8" }) === "alive\n",
};

/** What must fail. Each is true only if it had the effect, not if it merely raised no error. */
const acts = {
  "read a file of the host": () => fs.readFileSync(path.join(bait.folder, "secret.txt"), "utf8") === bait.word,
  "list a folder of the host": () => fs.readdirSync(bait.folder).includes("secret.txt"),
  "write a file on the host": () => {
    fs.writeFileSync(path.join(bait.folder, "anybody", "written.txt"), bait.word);
    return true;
  },
  "change its own code": () => {
    fs.appendFileSync(__filename, "\n// changed by itself\n");
    return true;
  },
  "run a program that it wrote": () => {
    const file = path.join(bait.home, "program.sh");
    fs.writeFileSync(file, "#!/bin/sh\necho written\n", { mode: 0o755 });
    return execFileSync(file, { encoding: "utf8" }) === "written\n";
  },
  "read the environment of a process of the host": () => {
    // The same number can be another process here; two of them were hardly started in the same tick.
    const facts = fs.readFileSync(`/proc/${bait.pid}/stat`, "utf8");
    const started = facts.slice(facts.lastIndexOf(")") + 2).split(" ")[19];
    fs.readFileSync(`/proc/${bait.pid}/environ`);
    return started === bait.startedAt;
  },
  // Ignored by whoever does not wait for it. Whether it arrived is known at the other end.
  "signal a process of the host": () => process.kill(bait.pid, "SIGURG"),
  "connect to a service of the host": () => says({ host: "127.0.0.1", port: bait.port }),
  "connect to an abstract socket of the host": () => says({ path: `\0${bait.socket}` }),
  // A connected datagram socket sends nothing; the system only looks for a way. The address belongs to nobody.
  "find a way to the internet": () => leadsTo("192.0.2.1", 443),
  "find a way to a cloud's metadata service": () => leadsTo("169.254.169.254", 80),
  "become root": () => {
    process.setuid(0);
    return process.getuid() === 0;
  },
};

/** Whether the other end is the one that was meant. */
function says(address) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(address);
    let heard = "";
    socket.setEncoding("utf8").on("data", (text) => (heard += text));
    socket.on("error", reject).on("close", () => resolve(heard === bait.word));
  });
}

function leadsTo(address, port) {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket("udp4");
    socket.on("error", reject).on("connect", () => resolve(true));
    socket.connect(port, address);
  });
}

async function attempt(name, act) {
  let timer;
  const timeout = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE_MS, "no answer")));
  let outcome;
  try {
    outcome = await Promise.race([act(), timeout]);
  } catch (error) {
    outcome = error.code ?? error.message;
  }
  clearTimeout(timer);
  const why = outcome === true ? undefined : outcome === false ? "without effect" : String(outcome);
  fs.writeSync(1, `${JSON.stringify({ name, succeeded: outcome === true, why })}\n`);
}

async function main() {
  for (const [name, act] of Object.entries({ ...controls, ...acts })) await attempt(name, act);
  process.exit(0);
}

main();
