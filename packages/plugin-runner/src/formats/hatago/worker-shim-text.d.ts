/** The program of `worker-shim.ts`, as a text; the bundler puts it in. */
declare module "hatago:worker-shim" {
  const text: string;
  export = text;
}
