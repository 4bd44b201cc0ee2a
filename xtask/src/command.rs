//! Running other programs: the one place of this crate that starts processes.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A program with its arguments, ready to run.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
}

impl Run {
    /// A program from `PATH`, or by its path.
    pub(crate) fn new<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this program is no part of the product: it builds and tests it"
        )]
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        Self { command }
    }

    /// Adds an argument.
    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub(crate) fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Runs in this folder.
    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Puts a folder first among those in which programs are looked for.
    pub(crate) fn path_first(self, folder: &Path) -> Self {
        let mut path = OsString::from(folder);
        if let Some(others) = environment("PATH") {
            path.push(":");
            path.push(others);
        }
        self.environment("PATH", path)
    }

    /// Runs it with this program's own standard output and error.
    pub(crate) fn stream(mut self) -> Result<()> {
        let status = self.command.status().with_context(|| format!("failed to start {self}"))?;
        if !status.success() {
            bail!("{self} failed: {status}");
        }
        Ok(())
    }

    /// Runs it and gives what it printed; what it wrote to standard error is shown only if it fails.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| format!("failed to start {self}"))?;
        if !output.status.success() {
            bail!("{self} failed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("failed to read the output of {self} as text"))
    }

    /// Whether it runs and succeeds, whatever it prints.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// The command itself, for whoever needs to hold the process.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}", self.command.get_program().to_string_lossy())?;
        for argument in self.command.get_args() {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        f.write_str("`")
    }
}

/// A variable of the environment in which this program was started.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program is no part of the product: it builds and tests it"
    )]
    std::env::var_os(name)
}
