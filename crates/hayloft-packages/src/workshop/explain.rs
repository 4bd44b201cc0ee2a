//! Why a step failed, in words for the package's author.

use hayloft_model::Problem;
use hayloft_sandbox::Exit;

use super::{Workshop, refused, unavailable};
use crate::error::InstallError;
use crate::plan::Step;
use crate::tree::mebibytes;
use crate::{components, npm};

/// The finder's code when there is no such program.
const NOT_FOUND: i32 = 127;

/// What a program's code is when a shell saw it end by the signal for files that are too large.
const FILE_TOO_LARGE: [Exit; 2] = [Exit::Signal(25), Exit::Code(128 + 25)];

impl Workshop {
    /// Why a step failed, as well as it can be told.
    pub(super) fn explain(&self, title: &str, step: &Step, exit: Exit) -> InstallError {
        if step.command.program == components::PROGRAM
            && let Some(problems) = components::explained(&self.log.tail(usize::MAX))
        {
            return InstallError::Refused { phase: step.phase, problems };
        }
        let is_bounded = exit == Exit::OutOfMemory || self.is_full() || FILE_TOO_LARGE.contains(&exit);
        match self.unreachable().filter(|_| !is_bounded) {
            Some(problem) => unavailable(step.phase, problem),
            None => refused(step.phase, self.wrong_with(title, step, exit)),
        }
    }

    /// Why nothing could be fetched, if the registry was the reason.
    pub(super) fn unreachable(&self) -> Option<Problem> {
        let reason = self.gate.passage.unreachable()?;
        let message = format!("the registry `{}` cannot be reached: {reason}", self.registry);
        let hint = "switch the plugin on again later, which tries it again, or name another registry: `packages.registry`";
        Some(Problem::error("registry", message).hint(hint))
    }

    fn wrong_with(&self, title: &str, step: &Step, exit: Exit) -> Problem {
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
        if let Some((at, message, hint)) = npm::explained(&self.log.text()) {
            return Problem::error(at, message).hint(hint);
        }
        if let Some(asked) = self.gate.passage.refused() {
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
        let last = self.log.tail(3).join(" / ");
        Problem::error(title, format!("failed with {exit}: {}", last.chars().take(400).collect::<String>()))
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
