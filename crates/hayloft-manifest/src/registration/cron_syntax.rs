//! Whether a text is a schedule of five fields, as `crontab` writes it: numbers, `*`, ranges, lists, steps, and names
//! of months and days. It only says what is wrong; when a job is due is for whoever runs it.

struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, names: &[] },
    Field { name: "hour", first: 0, last: 23, names: &[] },
    Field { name: "day of month", first: 1, last: 31, names: &[] },
    Field { name: "month", first: 1, last: 12, names: &MONTHS },
    // Both 0 and 7 are Sunday.
    Field { name: "day of week", first: 0, last: 7, names: &DAYS },
];

/// What is wrong with a schedule, if anything.
pub(super) fn fault(schedule: &str) -> Option<String> {
    let given: Vec<_> = schedule.split_ascii_whitespace().collect();
    if given.len() != FIELDS.len() {
        let plural = if given.len() == 1 { "" } else { "s" };
        return Some(format!("it has {} field{plural} and needs 5", given.len()));
    }
    FIELDS.iter().zip(given).find_map(|(field, text)| text.split(',').find_map(|part| field.fault(part)))
}

impl Field {
    /// What is wrong with one part of the field's list: `*`, `5`, `1-5`, `*/10`, `1-30/5`.
    fn fault(&self, part: &str) -> Option<String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        if step.is_some_and(|step| !number(step).is_some_and(|step| (1..=self.last).contains(&step))) {
            return Some(format!(
                "`{}` in `{part}` is no step for the {}",
                step.unwrap_or_default(),
                self.name
            ));
        }
        if range == "*" {
            return None;
        }
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first, Some(last)),
            None => (range, None),
        };
        let wrong = [Some(first), last].into_iter().flatten().find(|text| self.value(text).is_none());
        if let Some(wrong) = wrong {
            return Some(format!("`{wrong}` is no {} (from {} to {})", self.name, self.first, self.last));
        }
        // Saturday to Sunday may be written `sat-sun`: Sunday is also the last day.
        let ends = last.and_then(|last| Some((self.value(first)?, self.value(last)?)));
        match ends {
            Some((first, last)) if first > last && !(self.last == 7 && last == 0) => {
                Some(format!("the range `{range}` of the {} runs backwards", self.name))
            }
            _ => None,
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|index| u32::try_from(index).ok()).map(|index| index + self.first);
        named.or_else(|| number(text)).filter(|value| (self.first..=self.last).contains(value))
    }
}

fn number(text: &str) -> Option<u32> {
    // `parse` alone would take a plus sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_fields() {
        for good in [
            "* * * * *",
            "*/15 * * * *",
            "0 6 * * mon-fri",
            "0,30 8-18/2 1,15 JAN-jun 0",
            "59 23 31 12 7",
            " 0  0 * * 5-7 ",
            "0 0 * * sat-sun",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        for (bad, message) in [
            ("", "it has 0 fields and needs 5"),
            ("@daily", "it has 1 field and needs 5"),
            ("* * * * * *", "it has 6 fields and needs 5"),
            ("60 * * * *", "`60` is no minute (from 0 to 59)"),
            ("* 24 * * *", "`24` is no hour (from 0 to 23)"),
            ("* * 0 * *", "`0` is no day of month (from 1 to 31)"),
            ("* * * foo *", "`foo` is no month (from 1 to 12)"),
            ("* * * * 8", "`8` is no day of week (from 0 to 7)"),
            ("*/0 * * * *", "`0` in `*/0` is no step for the minute"),
            ("*/+5 * * * *", "`+5` in `*/+5` is no step for the minute"),
            ("5-1 * * * *", "the range `5-1` of the minute runs backwards"),
            ("1,,2 * * * *", "`` is no minute (from 0 to 59)"),
            ("1-2-3 * * * *", "`2-3` is no minute (from 0 to 59)"),
        ] {
            assert_eq!(fault(bad).as_deref(), Some(message), "{bad}");
        }
    }
}
