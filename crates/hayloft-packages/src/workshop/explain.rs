//! Why a step failed, in words for the package's author.

use hayloft_model::Problem;
use hayloft_sandbox::{Exit, GATE_NAME};

use super::{Workshop, refused, unavailable};
use crate::error::InstallError;
use crate::plan::Step;
use crate::tree::mebibytes;
use crate::{Phase, components, npm};

/// The finder's code when there is no such program.
const NOT_FOUND: i32 = 127;

/// What a program's code is when a shell saw it end by the signal for files that are too large.
const FILE_TOO_LARGE: [Exit; 2] = [Exit::Signal(25), Exit::Code(128 + 25)];

/// What can be done about a registry in trouble.
const LATER: &str =
    "switch the plugin on again later, which tries it again, or name another registry: `packages.registry`";

impl Workshop {
    /// Why a step failed, as well as it can be told.
    pub(super) fn explain(&self, title: &str, step: &Step, exit: Exit) -> InstallError {
        let lines = self.lines_of(title);
        let is_bounded = exit == Exit::OutOfMemory || self.is_full() || FILE_TOO_LARGE.contains(&exit);
        if !is_bounded
            && step.is_optional()
            && let Some(problems) = components::explained(&lines)
        {
            return InstallError::Refused { phase: step.phase, problems };
        }
        let failure = npm::failure(&lines.join("\n"));
        match self.passing(step, failure.as_ref()).filter(|_| !is_bounded) {
            Some(problem) => unavailable(step.phase, problem),
            None => refused(step.phase, self.wrong_with(title, step, exit, failure.as_ref(), &lines)),
        }
    }

    /// What a step wrote. What earlier ones wrote does not count.
    fn lines_of(&self, title: &str) -> Vec<String> {
        let mut lines = self.log.tail(usize::MAX);
        match lines.iter().rposition(|line| line.strip_prefix("$ ") == Some(title)) {
            Some(began) => lines.split_off(began + 1),
            None => lines,
        }
    }

    /// Why a step took longer than it may.
    pub(super) fn too_slow(&self, title: String, step: &Step) -> InstallError {
        let seconds = self.within(step.phase).as_secs();
        let message = format!("did not end within the {seconds} seconds that there are");
        if step.phase == Phase::Install {
            let slow = || {
                let message =
                    format!("`{title}` {message}: the registry `{}` is slow, or silent", self.registry);
                Problem::error("registry", message)
                    .hint("switch the plugin on again later, or ask the operator for more time: `packages.install_time`")
            };
            let problem = self.unreachable().or_else(|| npm::may_fetch(&step.command).then(slow));
            if let Some(problem) = problem {
                return unavailable(step.phase, problem);
            }
        }
        let problem = Problem::error(title, message);
        refused(step.phase, problem.hint("a step must end by itself; servers and watchers do not"))
    }

    /// Why a step failed, if the registry was the reason.
    fn passing(&self, step: &Step, failure: Option<&npm::Failure>) -> Option<Problem> {
        match failure {
            Some(failure) if failure.is_passing() => {
                let troubled = || {
                    let message = format!(
                        "the registry `{}` does not answer as it should: {}: {}",
                        self.registry, failure.code, failure.about
                    );
                    Problem::error("registry", message).hint(LATER)
                };
                // Where else a line asks, nobody ever answers: that is its author's to mend.
                self.elsewhere(failure).is_none().then(|| self.unreachable().unwrap_or_else(troubled))
            }
            Some(failure) if npm::explained(failure).is_some() => None,
            // npm has no code for each way in which nobody answers, and an author's own line may end with another.
            _ => self.unreachable().filter(|_| step.phase == Phase::Install),
        }
    }

    /// Why nothing could be fetched, if the registry cannot be reached.
    fn unreachable(&self) -> Option<Problem> {
        let reason = self.gate.passage.unreachable()?;
        let message = format!("the registry `{}` cannot be reached: {reason}", self.registry);
        Some(Problem::error("registry", message).hint(LATER))
    }

    /// Whom npm asked in vain, if that was not the registry.
    fn elsewhere<'a>(&self, failure: &'a npm::Failure) -> Option<&'a str> {
        let registry = self.registry.inside(GATE_NAME);
        let is_registry =
            |origin: &&str| registry.strip_prefix(origin).is_some_and(|path| path.starts_with('/'));
        failure.origin().filter(|origin| failure.is_passing() && !is_registry(origin))
    }

    fn wrong_with(
        &self,
        title: &str,
        step: &Step,
        exit: Exit,
        failure: Option<&npm::Failure>,
        lines: &[String],
    ) -> Problem {
        if exit == Exit::OutOfMemory {
            let message =
                format!("used more memory than the {} that there are", mebibytes(self.limits.memory));
            return Problem::error(title, message).hint("ask the operator for more: `packages.memory`");
        }
        if self.is_full() {
            return self.full();
        }
        if FILE_TOO_LARGE.contains(&exit) {
            let message = format!("wrote a file of more than {}", mebibytes(self.limits.room.bytes));
            return Problem::error(title, message).hint("make less, or ask the operator for more room");
        }
        if let Some((at, message, hint)) = failure.and_then(npm::explained) {
            return Problem::error(at, message).hint(hint);
        }
        let elsewhere = failure.and_then(|failure| self.elsewhere(failure)).map(str::to_owned);
        if let Some(asked) = elsewhere.or_else(|| self.gate.passage.refused()) {
            let message =
                format!("asked for `{asked}`, and only the registry `{}` can be reached", self.registry);
            return Problem::error(title, message)
                .hint("depend on versions of packages that the registry has");
        }
        if exit == Exit::Code(NOT_FOUND) && !matches!(step.command.program.as_str(), "npm" | "npx") {
            let message =
                format!("there is no program `{}`, or it found none of its own", step.command.program);
            return Problem::error(title, message)
                .hint("the host has npm; anything else must be a dependency of the package");
        }
        Problem::error(title, format!("failed with {exit}: {}", last_words(lines)))
            .hint("the log of the installation shows all that it wrote")
    }

    pub(super) fn is_full(&self) -> bool {
        let text = self.log.text();
        text.contains("ENOSPC")
            || text.contains("No space left on device")
            || text.contains("no space left on device")
    }

    pub(super) fn full(&self) -> Problem {
        let message =
            format!("needs more room than the {} that there are", mebibytes(self.limits.room.bytes));
        Problem::error("package", message)
            .hint("depend on less, or ask the operator for more: `packages.disk`")
    }
}

/// The end of what a step wrote. What npm says before it runs a script comes in by another way than what went wrong, and
/// so perhaps after it.
fn last_words(lines: &[String]) -> String {
    let said: Vec<_> = lines
        .iter()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("> "))
        .map(String::as_str)
        .collect();
    let last = &said[said.len().saturating_sub(3)..];
    last.join(" / ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_npm_says_before_a_script_is_no_reason() {
        let lines = |lines: &[&str]| lines.iter().map(|line| String::from(*line)).collect::<Vec<_>>();
        let before = ["> shop@1.0.0 build", "> tsk", ""];
        let wrong = ["sh: 1: tsk: not found"];
        for written in [[&before[..], &wrong].concat(), [&wrong[..], &before].concat()] {
            assert_eq!(last_words(&lines(&written)), wrong[0]);
        }
        assert_eq!(last_words(&lines(&["a", "b", "c", "d"])), "b / c / d");
        assert_eq!(last_words(&[]), "");
    }
}
