import { describe, expect, it } from "vitest";

import { scheduleFault } from "./cron-schedule.js";

describe("scheduleFault", () => {
  it.each([
    "* * * * *",
    "0 3 * * *",
    "*/15 * * * *",
    "0 9-17/2 * * mon-fri",
    "5,10,15 0 1 jan,Jul *",
    "0 0 29 2 *",
    "0 0 31 2,3 *",
    "0 0 30 2 mon",
    "59 23 31 12 7",
    " 0   0 * * 0 ",
  ])("takes %s", (schedule) => {
    expect(scheduleFault(schedule)).toBeUndefined();
  });

  it.each([
    ["hourly", "has 1 field, but a schedule has 5"],
    ["@daily", "has 1 field"],
    ["", "has 1 field"],
    ["* * * *", "has 4 fields"],
    ["0 * * * * *", "has 6 fields"],
    ["60 * * * *", "the minute of `60 * * * *` is wrong: `60` is out of range"],
    ["* 24 * * *", "the hour"],
    ["* * 0 * *", "the day of month"],
    ["* * * 13 *", "the month"],
    ["* * * * 8", "the day of week"],
    ["-1 * * * *", "`-1` is not a value"],
    ["1.5 * * * *", "`1.5` is not a value"],
    ["*/0 * * * *", "the step of `*/0` is 0"],
    ["5/10 * * * *", "the step of `5/10` has no range"],
    ["30-10 * * * *", "`30-10` ends before it begins"],
    ["1, * * * *", "`` is not a value"],
    ["* * * foo *", "`foo` is out of range"],
    ["* * mon * *", "the day of month"],
    ["0 0 30 2 *", "never comes"],
    ["0 0 31 4,6,9,11 *", "never comes"],
  ])("refuses %s", (schedule, message) => {
    expect(scheduleFault(schedule)?.message).toContain(message);
  });
});
