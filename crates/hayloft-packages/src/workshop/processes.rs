//! The processes of a workshop, each with all that it writes in a log.

use std::path::Path;
use std::sync::Arc;

use hayloft_model::Problem;
use hayloft_model::plugin::Command as Words;
use hayloft_sandbox::{Command, Exit, Process, Stdio};
use tokio_util::task::AbortOnDropHandle;

use super::{LAST_WORDS, WORK, Workshop, broken, refused};
use crate::error::InstallError;
use crate::log::RunLog;
use crate::{Phase, npm};

/// Finds a program by its name, says with 127 that there is none, and is in every jail.
const FINDER: &str = "/usr/bin/env";

impl Workshop {
    pub(super) async fn ended(&self, root: &Path, command: &Words) -> Result<Exit, InstallError> {
        let words = npm::words(command, self.scripts);
        let variables: Vec<_> =
            command.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.outcome(&Path::new(WORK).join(root).join(&command.folder), &words, &variables, &self.log).await
    }

    /// Runs a program to its end, with all that it writes in a log.
    pub(super) async fn outcome(
        &self,
        folder: &Path,
        words: &[String],
        variables: &[(String, String)],
        log: &Arc<RunLog>,
    ) -> Result<Exit, InstallError> {
        let mut process = self.spawn(folder, words, variables).await?;
        let (stdout, stderr) = (process.take_stdout(), process.take_stderr());
        let log = Arc::clone(log);
        let reading = AbortOnDropHandle::new(tokio::spawn(async move {
            let stdout = async {
                if let Some(stdout) = stdout {
                    log.take(stdout).await;
                }
            };
            let stderr = async {
                if let Some(stderr) = stderr {
                    log.take(stderr).await;
                }
            };
            tokio::join!(stdout, stderr);
        }));
        let exit = process.wait().await;
        // What it left running may hold its streams open for ever.
        let _ = tokio::time::timeout(LAST_WORDS, reading).await;
        Ok(exit)
    }

    pub(super) async fn spawn(
        &self,
        folder: &Path,
        words: &[String],
        variables: &[(String, String)],
    ) -> Result<Process, InstallError> {
        let mut environment = self.environment.clone();
        for (name, value) in variables {
            // The finder and the loader of programs are no place for a stranger's words.
            if !name.to_ascii_uppercase().starts_with("LD_")
                && !environment.iter().any(|(known, _)| known == name)
            {
                environment.push((name.clone(), value.clone()));
            }
        }
        let command = Command {
            program: FINDER.into(),
            arguments: std::iter::once(String::from("--"))
                .chain(words.iter().cloned())
                .map(Into::into)
                .collect(),
            working_directory: folder.to_owned(),
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            descriptors: Vec::new(),
            stdin: Stdio::Null,
            stdout: Stdio::Piped,
            stderr: Stdio::Piped,
            label: String::from("a step of an installation"),
        };
        self.jail.spawn(command).await.map_err(|error| match error.source.kind() {
            // A folder that the package itself named, and that is not there.
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory if folder.starts_with(WORK) => {
                let shown = folder.strip_prefix(WORK).unwrap_or(folder).display();
                refused(
                    Phase::Install,
                    Problem::error("package", format!("there is no folder `{shown}` to work in")),
                )
            }
            _ => broken(error),
        })
    }
}
