//! How a command ends badly: one line for people, what is wrong if it is known in detail, advice, and an exit code.

use std::error::Error;
use std::fmt::{self, Write as _};

use hayloft_model::Problems;
use hayloft_packages::archive::ArchiveError;

/// The exit code for wrong use.
const WRONG_USE: u8 = 2;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    problems: Problems,
    hint: Option<String>,
    code: u8,
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Refused(problems) => Self::new(problems.to_string()),
            host @ ArchiveError::Host { .. } => Self::new(chain(&host)),
        }
    }
}

impl Failure {
    /// A failure: a lower-case sentence such as "failed to read `x`".
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), problems: Problems::new(), hint: None, code: 1 }
    }

    /// A failure with the error that caused it and all that caused that.
    pub(crate) fn caused(message: impl Into<String>, error: &dyn Error) -> Self {
        Self::new(format!("{}: {}", message.into(), chain(error)))
    }

    /// The command was used in a way that it does not have.
    pub(crate) fn wrong_use(message: impl Into<String>) -> Self {
        Self { code: WRONG_USE, ..Self::new(message) }
    }

    /// Nobody reads the output any more, as after `| head`. That is the reader's choice and nothing to report.
    pub(crate) fn reader_gone() -> Self {
        Self { code: 0, ..Self::new("") }
    }

    /// Whether there is something to report.
    pub(crate) const fn is_reportable(&self) -> bool {
        self.code != 0
    }

    /// With everything that is wrong.
    #[must_use]
    pub(crate) fn problems(mut self, problems: Problems) -> Self {
        self.problems = problems;
        self
    }

    /// With advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With advice, if there is any.
    #[must_use]
    pub(crate) fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for problem in &self.problems {
            write!(f, "\n  {}", problem.to_string().replace('\n', "\n  "))?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// An error and all its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a `String` cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use hayloft_model::Problem;

    use super::*;

    #[test]
    fn a_failure_reads_well() {
        let problems = Problems::from(Problem::error("server.listen", "is not an address").hint("use one"));
        let failure = Failure::wrong_use("the configuration is not valid").problems(problems).hint("mend it");
        insta::assert_snapshot!(failure.to_string(), @r"
        error: the configuration is not valid
          error: server.listen: is not an address
            hint: use one
        hint: mend it
        ");
        assert_eq!(failure.code(), 2);
    }
}
