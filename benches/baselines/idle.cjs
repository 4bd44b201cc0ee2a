// A Node process that does nothing but wait. It says so without the streams that `console` would load.
setInterval(() => {}, 2 ** 30);
require("node:fs").writeSync(1, "{}\n");
