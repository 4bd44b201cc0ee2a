//! From a command to what the jail's first process is asked for.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use hayloft_stage::MARKER_VARIABLE;
use hayloft_stage::lifeline::{FIRST_OWN, Spawn};
use tokio::net::unix::pipe;

use crate::{Command, Stdio};

/// What is sent for a process, and the host's ends of its streams.
pub(super) struct Prepared {
    pub(super) spawn: Spawn,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) stdout: Option<pipe::Receiver>,
    pub(super) stderr: Option<pipe::Receiver>,
}

/// Checks a command and makes its pipes. Must be called inside a tokio runtime.
pub(super) fn prepare(command: Command) -> io::Result<Prepared> {
    let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if !command.program.is_absolute() {
        return invalid(format!("`{}` is not an absolute path", command.program.display()));
    }
    if let Some((_, number)) = command.descriptors.iter().find(|(_, number)| !(3..FIRST_OWN).contains(number))
    {
        return invalid(format!("a descriptor cannot have the number {number} in the process"));
    }
    let mut environment = Vec::with_capacity(command.environment.len() + 1);
    for (name, value) in command.environment {
        let name = text(name)?;
        if name.is_empty() || name.contains('=') || name == MARKER_VARIABLE {
            return invalid(format!("`{name}` cannot be a variable's name"));
        }
        environment.push((name, text(value)?));
    }
    let (stdin, write) = input(command.stdin)?;
    let (stdout, read) = output(command.stdout)?;
    let (stderr, read_errors) = output(command.stderr)?;
    let mut descriptors = vec![stdin, stdout, stderr];
    let mut numbers: Vec<RawFd> = Vec::new();
    for (descriptor, number) in command.descriptors {
        descriptors.push(descriptor);
        numbers.push(number);
    }
    let spawn = Spawn {
        id: 0,
        program: text(command.program.into())?,
        arguments: command.arguments.into_iter().map(text).collect::<io::Result<_>>()?,
        environment,
        working_directory: text(command.working_directory.into())?,
        numbers,
    };
    Ok(Prepared { spawn, descriptors, stdin: write, stdout: read, stderr: read_errors })
}

fn text(text: OsString) -> io::Result<String> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let text = text.into_string().map_err(|text| wrong(&format!("`{}` is not UTF-8", text.display())))?;
    if text.contains('\0') { Err(wrong("a text with a NUL byte cannot be passed")) } else { Ok(text) }
}

fn input(stdio: Stdio) -> io::Result<(OwnedFd, Option<pipe::Sender>)> {
    match stdio {
        Stdio::Null => Ok((File::open("/dev/null")?.into(), None)),
        Stdio::Piped => {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            Ok((read, Some(pipe::Sender::from_owned_fd(write)?)))
        }
    }
}

fn output(stdio: Stdio) -> io::Result<(OwnedFd, Option<pipe::Receiver>)> {
    match stdio {
        Stdio::Null => Ok((File::options().write(true).open("/dev/null")?.into(), None)),
        Stdio::Piped => {
            let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            Ok((write, Some(pipe::Receiver::from_owned_fd(read)?)))
        }
    }
}
