/** One thing that a plugin's author has to put right. */
export interface Problem {
  /** Where it is, such as `register.config.apiKey.type`. */
  at: string;
  /** What is wrong: a lower-case fragment, names in backticks. */
  message: string;
  /** What to do about it. */
  hint?: string;
}
