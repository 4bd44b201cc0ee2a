/** The version that `hello` and servers without one of their own report; the bundler puts it in. */
declare const HAYLOFT_RUNNER_VERSION: string;

export const RUNNER_VERSION = HAYLOFT_RUNNER_VERSION;
