//! The server as a child process: started, waited for, and stopped whole.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::command::Run;

/// How long the server may take to end its workers before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// What can happen while the server runs.
#[derive(Debug)]
pub(super) enum Event {
    /// It serves at this address.
    Ready(String),
    /// It is gone.
    Ended(ExitStatus),
    /// Somebody wants this program to end.
    Interrupted,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    pid: Pid,
    events: Receiver<Event>,
    ended: bool,
}

impl Server {
    /// Starts it on a data folder and a folder of plugins; its log goes to a file.
    pub(super) fn start(
        binary: &Path,
        listen: &str,
        data: &Path,
        plugins: &Path,
        log: &Path,
    ) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("failed to open `{}`", log.display()))?;
        let run = Run::new(binary, ["serve", "--listen", listen])
            .argument("--data-dir")
            .argument(data)
            .argument("--plugins-dir")
            .argument(plugins)
            // Who tries it out has plugins that speak to the world.
            .environment("HAYLOFT_NETWORK_DEFAULT", "public");
        let shown = run.to_string();
        let mut command = run.into_command();
        // In a process group of its own, so that Ctrl-C reaches only this program, which then stops it once.
        command.env_remove("HAYLOFT_ADMIN_TOKEN").stdout(Stdio::piped()).stderr(file).process_group(0);

        let (send, events) = channel();
        // Before the start, so that no interrupt is missed in between.
        watch_signals(send.clone())?;
        let mut child = command.spawn().with_context(|| format!("failed to start {shown}"))?;
        let pid =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the server has no process id")?;
        let stdout = child.stdout.take().context("the server has no standard output")?;
        let ready = send.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("ready ") {
                    // Nobody listens any more when this program is about to end.
                    let _ = ready.send(Event::Ready(address.trim_end_matches('/').to_owned()));
                }
            }
        });
        thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let _ = send.send(Event::Ended(status));
            }
        });
        Ok(Self { pid, events, ended: false })
    }

    /// What happens next; `None` if nothing did within the time.
    pub(super) fn next_event(&mut self, patience: Option<Duration>) -> Option<Event> {
        let event = match patience {
            Some(patience) => self.events.recv_timeout(patience).ok(),
            None => self.events.recv().ok(),
        };
        self.ended |= matches!(event, Some(Event::Ended(_)));
        event
    }

    /// Asks it to end, waits until it has, and kills it if it does not, or if somebody asks again.
    pub(super) fn stop(mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        match self.next_event(Some(STOP_DEADLINE)) {
            Some(Event::Ended(status)) if status.success() => return Ok(()),
            Some(Event::Ended(status)) => bail!("the server ended badly: {status}"),
            _ => {}
        }
        self.signal(Signal::KILL)?;
        while !self.ended {
            self.next_event(None);
        }
        bail!("the server did not end within {} s and was killed", STOP_DEADLINE.as_secs())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match kill_process(self.pid, signal) {
            // It ended by itself, and the event is on its way.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).context("failed to signal the server"),
        }
    }
}

fn watch_signals(send: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("failed to watch for signals")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if send.send(Event::Interrupted).is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that says it is ready, and what it does when it is asked to end.
    fn start(folder: &Path, at_end: &str) -> Server {
        let program = folder.join("server");
        // A shell acts on a signal only between two commands, so it waits in the background.
        let script = format!(
            "#!/bin/sh\ntrap 'kill $!; {at_end}' TERM\necho \"$@\" >&2\nsleep 600 &\necho starting\n\
             echo ready http://h:1/\nwait\n"
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Server::start(&program, "h:1", folder, folder, &folder.join("log")).unwrap()
    }

    #[test]
    fn a_server_is_waited_for_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = start(folder.path(), "exit 0");
        let ready = server.next_event(Some(STOP_DEADLINE));
        assert!(matches!(&ready, Some(Event::Ready(address)) if address == "http://h:1"), "{ready:?}");
        let pid = server.pid;
        server.stop().unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err(), "the server is still there");
        let arguments = fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(arguments.starts_with("serve --listen h:1 --data-dir /"), "{arguments}");
    }

    #[test]
    fn a_bad_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = start(folder.path(), "exit 3");
        server.next_event(Some(STOP_DEADLINE));
        assert_eq!(server.stop().unwrap_err().to_string(), "the server ended badly: exit status: 3");
    }
}
