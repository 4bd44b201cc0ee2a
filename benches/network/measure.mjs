// New connections, and one long answer, from wherever this runs: in a jail by name, or beside it by address.
import { connect } from "node:net";
import { fileURLToPath } from "node:url";

/** One connection that says a letter; gives the time until the first byte of the answer and until its end. */
function once(host, port, letter) {
  return new Promise((resolve, reject) => {
    const begun = process.hrtime.bigint();
    const since = () => Number(process.hrtime.bigint() - begun);
    let first;
    const socket = connect({ host, port, noDelay: true }, () => socket.write(letter));
    socket.on("data", () => {
      first ??= since();
    });
    socket.on("error", reject).on("end", () => resolve({ first, all: since() }));
  });
}

/** The median of so many connections and the time of a long answer, in nanoseconds. */
export async function measure(host, port, connections) {
  const times = [];
  for (let n = 0; n < connections; n++) times.push((await once(host, port, "e")).first);
  times.sort((one, other) => one - other);
  return { connect: times[connections >> 1], stream: (await once(host, port, "s")).all };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [host, port, connections] = process.argv.slice(2);
  console.log(JSON.stringify(await measure(host, Number(port), Number(connections))));
}
