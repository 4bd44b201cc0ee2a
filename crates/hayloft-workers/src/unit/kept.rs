//! The servers that the host keeps up beside the worker, and what their health means for the instance.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::{ServerId, WorkerState};
use tokio::time::{Instant, timeout};

use super::{ON, Step, Unit};
use crate::events::{Cause, Event};
use crate::kept::{Kept, KeptServer, News, ServerHealth, Supervisor};
use crate::{HookError, KeepRefused};

/// A start waits so long for the servers; what comes later comes when it comes, and a call waits for its own server.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// The ports that servers are given. Every jail has a network of its own, so all of them use the same ones.
const PORTS: std::ops::RangeInclusive<u16> = 5000..=6000;

/// How far the start of the organization's part is.
pub(super) enum Start {
    /// It has not begun.
    Ahead,
    /// The hook runs, or has ended, and servers are being started.
    Under { hook: Option<Result<(), HookError>>, until: Instant },
    /// The dispatcher knows how it went; this is what it heard last.
    Told { hook: Option<String>, trouble: Option<String> },
}

impl Unit {
    /// Starts the servers that the plugin's folder lists.
    pub(super) fn begin_start(&mut self) {
        self.start = Start::Under { hook: None, until: Instant::now() + START_PATIENCE };
        for server in std::mem::take(&mut self.listed) {
            let id = server.id.clone();
            if let Err(refused) = self.keep(server) {
                // Ids are unique among those that a folder lists, and nothing else can be open yet.
                self.log.host(
                    crate::logs::Level::Error,
                    format!("failed to start the MCP server `{id}`: {refused}"),
                );
            }
        }
    }

    /// Begins to keep a server up, in place of an earlier one of the same id.
    pub(super) fn keep(&mut self, mut server: KeptServer) -> Result<(), KeepRefused> {
        let Some((_, notices)) = self.instance.as_ref() else { return Err(KeepRefused::NotBound) };
        if self.life.state() != WorkerState::Bound {
            return Err(KeepRefused::NotBound);
        }
        if self.servers.contains_key(&server.id) {
            return Err(KeepRefused::Open(server.id));
        }
        let limit = self.shared.settings.resources.mcp_servers;
        if !self.kept.contains_key(&server.id) && self.kept.len() + self.servers.len() >= limit {
            return Err(KeepRefused::TooMany(limit));
        }
        let taken = |port: &u16| self.kept.values().any(|kept| kept.port == *port);
        let free = PORTS.clone().find(|port| !taken(port)).unwrap_or(*PORTS.start());
        let given: Vec<_> = server.environment.iter().map(|(name, _)| name.clone()).collect();
        let settings = self.server_environment.iter().filter(|(name, _)| !given.contains(name));
        server.environment.extend(settings.cloned());
        self.next_serial += 1;
        let id = server.id.clone();
        let supervisor = Supervisor {
            shared: Arc::clone(&self.shared),
            worker: self.worker,
            notices: notices.clone(),
            jail: Arc::clone(&self.process.jail),
            root: self.package.root.clone(),
            home: self.process.home.path().to_owned(),
            log: self.log.clone(),
            port: Supervisor::port_of(&server, free),
            server,
            serial: self.next_serial,
            news: self.news.clone(),
        };
        if let Some(earlier) = self.kept.insert(id, supervisor.start()) {
            earlier.task.abort();
        }
        self.show_servers();
        Ok(())
    }

    pub(super) fn on_news(&mut self, News { server, serial, health }: News) -> Step {
        // One that was replaced has nothing more to say.
        if self.kept.get(&server).is_none_or(|kept| kept.serial != serial) {
            return ON;
        }
        match health {
            Some(health) => {
                if let Some(kept) = self.kept.get_mut(&server) {
                    kept.health = health;
                }
            }
            None => {
                self.kept.remove(&server);
            }
        }
        self.show_servers();
        self.tell_start();
        self.when_servers_ended()
    }

    /// Its session is over although its process runs.
    pub(super) fn revive(&self, server: &ServerId) {
        if let Some(kept) = self.kept.get(server).filter(|kept| kept.health == ServerHealth::Ready) {
            kept.revive.notify_one();
        }
    }

    pub(super) fn hook_started(&mut self, outcome: Result<(), HookError>) {
        if let Start::Under { hook, .. } = &mut self.start {
            *hook = Some(outcome);
        }
        self.tell_start();
    }

    /// When the dispatcher must be told that the start is over, at the latest.
    pub(super) const fn start_due(&self) -> Option<Instant> {
        match &self.start {
            Start::Under { hook: Some(_), until } => Some(*until),
            Start::Under { .. } | Start::Ahead | Start::Told { .. } => None,
        }
    }

    /// Tells the dispatcher how the start went once that is known, and afterwards whatever changes about it.
    pub(super) fn tell_start(&mut self) {
        let down = || {
            let lines = self.kept.iter().filter_map(|(id, kept)| match &kept.health {
                ServerHealth::Down { error, .. } => Some(format!("the MCP server `{id}` is down: {error}")),
                ServerHealth::Starting | ServerHealth::Ready => None,
            });
            let lines: Vec<_> = lines.collect();
            (!lines.is_empty()).then(|| lines.join("; "))
        };
        let starting = self.kept.values().any(|kept| kept.health == ServerHealth::Starting);
        match &self.start {
            Start::Under { hook: Some(hook), until } if !starting || *until <= Instant::now() => {
                let hook = hook.as_ref().err().map(ToString::to_string);
                let trouble = hook.clone().or_else(down);
                self.started = Some(Instant::now());
                self.report(Event::Started(trouble.clone().map_or(Ok(()), Err)));
                self.start = Start::Told { hook, trouble };
            }
            // What is being started again has not got better yet.
            Start::Told { hook: None, trouble } if !starting => {
                let now = down();
                if now != *trouble && self.drain.is_none() {
                    self.report(Event::Health(now.clone().map_or(Ok(()), Err)));
                    self.start = Start::Told { hook: None, trouble: now };
                }
            }
            Start::Ahead | Start::Under { .. } | Start::Told { .. } => {}
        }
    }

    /// Asks the servers to end in order.
    pub(super) fn stop_kept(&self) {
        self.kept.values().for_each(|kept| kept.stop.cancel());
    }

    /// A worker without code of its own has ended when its servers have.
    pub(super) fn when_servers_ended(&self) -> Step {
        match &self.drain {
            Some(drain)
                if drain.kill_at.is_some() && self.process.runner.is_none() && self.kept.is_empty() =>
            {
                ControlFlow::Break(Cause::Asked(drain.reason.clone()))
            }
            _ => ON,
        }
    }

    /// Gives all servers up; their processes end with the jail. When this returns, their sessions are closed.
    pub(super) async fn give_up_kept(&mut self) {
        for (_, Kept { task, .. }) in std::mem::take(&mut self.kept) {
            task.abort();
            // It ends at its next await; what it holds is dropped then.
            let _ = timeout(super::LAST_WORDS, task).await;
        }
    }
}
