//! How something that takes long is shown: a bar on a terminal, plain lines elsewhere.
//!
//! All of it goes to standard error, beside what the command prints. It must not know what is under way.

use std::collections::HashMap;
use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// Columns that a terminal must have for a bar beside the words.
const WIDE: u16 = 60;

/// How often the bar shows that something still goes on. What is waited for can be silent for minutes.
const TICK: Duration = Duration::from_millis(125);

/// Something that goes on. Clones are the same.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// So many bytes that are moved.
    pub(crate) fn of_bytes(total: u64, what: &'static str, environment: &HashMap<String, String>) -> Self {
        let templates = ["{msg} {wide_bar} {bytes}/{total_bytes}", "{msg} {bytes}/{total_bytes}"];
        Self::begin(total, templates, what, environment)
    }

    /// Steps, told as they begin.
    pub(crate) fn of_steps(what: &'static str, environment: &HashMap<String, String>) -> Self {
        let templates = [
            "{spinner} {bar:24} {percent:>3}% {elapsed:>3} {wide_msg}",
            "{spinner} {percent:>3}% {wide_msg}",
        ];
        Self::begin(100, templates, what, environment)
    }

    fn begin(
        length: u64,
        [wide, narrow]: [&str; 2],
        what: &'static str,
        environment: &HashMap<String, String>,
    ) -> Self {
        // Such a terminal shows the words that move the cursor instead of moving it.
        let is_dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
        let target = match stderr().is_terminal() && !is_dumb {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let columns = Term::stderr().size_checked().map(|(_, columns)| columns);
        let template = if columns.is_none_or(|columns| columns >= WIDE) { wide } else { narrow };
        // The templates are our own; one that did not read would only look plain.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(length), target).with_style(style).with_message(what);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self { bar }
    }

    /// So many bytes more.
    pub(crate) fn moved(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// A step began, with so much done before it.
    pub(crate) fn step(&self, number: u64, steps: u64, percent: u64, title: &str) {
        let message = format!("{number}/{steps} {title}");
        if self.bar.is_hidden() {
            return note(&message);
        }
        self.bar.set_position(percent);
        self.bar.set_message(output::plain(&message));
    }

    /// A line that a program wrote.
    pub(crate) fn line(&self, text: &str) {
        let line = format!("  {text}");
        if self.bar.is_hidden() {
            return note(&line);
        }
        self.bar.println(output::plain(&line));
    }

    /// It is over. Nothing of the bar stays.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A line about what goes on.
pub(crate) fn note(line: &str) {
    eprintln!("{}", output::plain(line));
}
