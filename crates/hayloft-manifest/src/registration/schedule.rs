//! The jobs that a plugin wants run by the clock.

use hayloft_model::plugin::schedule::Backoff;
use hayloft_model::plugin::{CronDeclaration, RetryPolicy};
use hayloft_model::{Problem, Problems};

use super::cron_syntax::fault;
use super::{MOST_ENTRIES, unique_id};
use crate::document::{Object, View};
use crate::words::quoted;

/// Most times that a failed run is repeated.
const MOST_RETRIES: u32 = 20;

/// The jobs without errors.
pub(super) fn read(message: &Object<'_>, problems: &mut Problems) -> Vec<CronDeclaration> {
    let mut seen = Vec::new();
    let items = message.items("crons", MOST_ENTRIES, problems);
    items.iter().filter_map(|item| cron(item, &mut seen, problems)).collect()
}

fn cron(item: &View<'_>, seen: &mut Vec<String>, problems: &mut Problems) -> Option<CronDeclaration> {
    let object = item.object(problems)?;
    object.check_keys(&["name", "schedule", "retryPolicy"], problems);
    let name = unique_id(&object, "name", seen, problems);
    let schedule = object.required("schedule", problems).and_then(|view| schedule(&view, problems));
    let retry_policy = object.get("retryPolicy").and_then(|view| retry_policy(&view, problems));
    Some(CronDeclaration { name: name?, schedule: schedule?, retry_policy })
}

fn schedule(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let text = view.text(problems)?;
    match fault(text) {
        None => Some(text.to_owned()),
        Some(message) => {
            let problem = Problem::error(view.at(), format!("{} is not a schedule: {message}", quoted(text)));
            problems.push(problem.hint(
                "write minute, hour, day of month, month and day of week, such as `*/15 * * * *` or `0 6 * * mon-fri`",
            ));
            None
        }
    }
}

fn retry_policy(view: &View<'_>, problems: &mut Problems) -> Option<RetryPolicy> {
    let object = view.object(problems)?;
    object.check_keys(&["maxRetries", "backoff"], problems);
    let max_retries = object.required("maxRetries", problems).and_then(|view| {
        let count = view.count(problems)?;
        if count > MOST_RETRIES {
            problems.push(Problem::warning(view.at(), format!("at most {MOST_RETRIES} retries are made")));
        }
        Some(count.min(MOST_RETRIES))
    });
    let backoff = object.required("backoff", problems).and_then(|view| match view.text(problems)? {
        "fixed" => Some(Backoff::Fixed),
        "exponential" => Some(Backoff::Exponential),
        other => {
            let message = format!("{} is not a way to wait", quoted(other));
            problems.push(Problem::error(view.at(), message).hint("use `fixed` or `exponential`"));
            None
        }
    });
    Some(RetryPolicy { max_retries: max_retries?, backoff: backoff? })
}
