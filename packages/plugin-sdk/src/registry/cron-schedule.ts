/** Schedules of jobs: minute, hour, day of month, month, day of week. */

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  readonly words?: readonly string[];
}

const MONTHS = [
  ...["jan", "feb", "mar", "apr", "may", "jun"],
  ...["jul", "aug", "sep", "oct", "nov", "dec"],
];
const FIELDS: readonly Field[] = [
  { name: "minute", least: 0, most: 59 },
  { name: "hour", least: 0, most: 23 },
  { name: "day of month", least: 1, most: 31 },
  { name: "month", least: 1, most: 12, words: MONTHS },
  {
    name: "day of week",
    least: 0,
    most: 7,
    words: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
  },
];
const LONGEST = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** What is wrong with a schedule, or `undefined`. */
export interface ScheduleFault {
  readonly message: string;
  readonly hint: string;
}

/** Checks a schedule. */
export function scheduleFault(schedule: string): ScheduleFault | undefined {
  const texts = schedule.trim().split(/\s+/);
  if (texts.length !== FIELDS.length) {
    return {
      message: `\`${schedule}\` has ${texts.length} ${texts.length === 1 ? "field" : "fields"}, but a schedule has 5`,
      hint: "write minute, hour, day of month, month and day of week, such as `0 3 * * *` for every day at 3:00",
    };
  }
  const values: (Set<number> | undefined)[] = [];
  for (const [index, field] of FIELDS.entries()) {
    const parsed = parseField(texts[index] ?? "", field);
    if (typeof parsed === "string") {
      return {
        message: `the ${field.name} of \`${schedule}\` is wrong: ${parsed}`,
        hint: `use numbers from ${field.least} to ${field.most}, \`*\`, lists (\`1,15\`), ranges (\`1-5\`) and steps (\`*/10\`)`,
      };
    }
    values.push(parsed);
  }
  const [, , days, months, weekdays] = values;
  // With a day of week as well, either of the two is enough.
  if (days !== undefined && weekdays === undefined && !someDayExists(days, months)) {
    return {
      message: `\`${schedule}\` never comes: none of its months has such a day`,
      hint: "choose a day that exists",
    };
  }
  return undefined;
}

/** The values of a field (`undefined` for all of them), or what is wrong. */
function parseField(text: string, field: Field): Set<number> | undefined | string {
  if (text === "*") return undefined;
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^(?:(\*)|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:\/(\d+))?$/i.exec(part);
    if (match === null) return `\`${part}\` is not a value`;
    const [, all, from, to, step] = match;
    const first = all === undefined ? valueOf(from ?? "", field) : field.least;
    if (first === undefined) return `\`${from ?? ""}\` is out of range`;
    const last = all !== undefined ? field.most : to === undefined ? first : valueOf(to, field);
    if (last === undefined) return `\`${to ?? ""}\` is out of range`;
    if (last < first) return `\`${part}\` ends before it begins`;
    if (step !== undefined && all === undefined && to === undefined) {
      return `the step of \`${part}\` has no range`;
    }
    const width = step === undefined ? 1 : Number(step);
    if (width === 0) return `the step of \`${part}\` is 0`;
    for (let value = first; value <= last; value += width) values.add(value);
  }
  return values;
}

function valueOf(text: string, field: Field): number | undefined {
  const word = field.words?.indexOf(text.toLowerCase()) ?? -1;
  if (word !== -1) return word + field.least;
  if (!/^\d+$/.test(text)) return undefined;
  const value = Number(text);
  return value >= field.least && value <= field.most ? value : undefined;
}

function someDayExists(
  days: ReadonlySet<number>,
  months: ReadonlySet<number> | undefined,
): boolean {
  const earliest = Math.min(...days);
  return LONGEST.some((length, index) => (months?.has(index + 1) ?? true) && earliest <= length);
}
