//! What the host asks of a worker: the organization to take, and hooks to run.

use std::ops::ControlFlow;
use std::time::Duration;

use hayloft_model::WorkerState;
use hayloft_model::config::{ConfigValues, Credentials};
use indexmap::IndexMap;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{HUNG_UP, ON, Origin, Step, Unit};
use crate::environment;
use crate::events::{Cause, Claim, Event};
use crate::gate::HOST_URL;
use crate::protocol::{
    Api, Auth, Bind, BoundOrganization, FailureReason, Hook, HookKind, HostMessage, VERSION, WireError,
};
use crate::worker::Request;
use crate::{Binding, HookCall, HookError, StartFailure, StartStage};

/// A worker that is ready takes its organization within that time, or another one is started: somebody waits.
const CLAIM: Duration = Duration::from_secs(1);

/// A request that the worker has not answered.
pub(super) struct Pending {
    /// When the host stops waiting.
    pub(super) deadline: Instant,
    /// How long the worker was given.
    after: Duration,
    /// The name that authors write.
    name: String,
    waiting: Waiting,
}

enum Waiting {
    Bind,
    Start,
    Hook(oneshot::Sender<Result<Value, HookError>>),
    /// As a hook, but what it returns is for people to read.
    Verdict(oneshot::Sender<Result<Value, HookError>>),
    /// A job or a procedure: the worker keeps no deadline of its own for it, so silence says nothing of its event loop.
    Job(oneshot::Sender<Result<Value, HookError>>),
}

impl Unit {
    /// Gives a worker that was ready for nobody in particular to an organization.
    pub(super) fn claim(&mut self, claim: Claim) -> Step {
        if self.life.state() != WorkerState::Warm {
            return self.failed("it was to be given to an organization while it was not ready for one");
        }
        let Claim { key, inlet, log, binding } = claim;
        self.instance = Some((key, inlet));
        self.log.move_to(log);
        // How long it waited says nothing of how well it serves.
        self.begun = Instant::now();
        self.bind(&binding)
    }

    pub(super) fn bind(&mut self, binding: &Binding) -> Step {
        if !self.life.bind() {
            return self.failed("it was to be given to a second organization");
        }
        self.show_state();
        if let Some((key, _)) = &self.instance {
            self.process.gate.bind(key.clone());
        }
        let token = self.process.gate.caller().token().clone();
        let mut secrets = binding.secrets.clone();
        secrets.push(token.clone());
        self.log.mask(&secrets);
        self.listed.clone_from(&binding.servers);
        let descriptor = &self.package.descriptor;
        let api = descriptor
            .may_use_plugin_api()
            .then(|| Api { url: HOST_URL.into(), token: token.expose().clone() });
        // A setting that is exported under one of the host's names is not seen: an author who reads that means the host's.
        self.server_environment.clone_from(&binding.server_environment);
        let own = environment::of_instance(descriptor, &binding.organization, api.as_ref());
        self.server_environment.retain(|(name, _)| own.iter().all(|(own, _)| own != name));
        self.server_environment.extend(own);
        let mut variables = IndexMap::new();
        for (name, value) in &binding.environment {
            if let Err(error) = environment::check_bound(name, value.expose()) {
                return ControlFlow::Break(bind_failure(error.to_string()));
            }
            variables.insert(name.clone(), value.expose().clone());
        }
        self.facts.send_modify(|facts| facts.revision = binding.revision);
        let name = Some(&binding.organization_name).filter(|name| !name.is_empty()).cloned();
        let deadline = match self.origin {
            Origin::Demand => self.shared.settings.deadlines.spawn,
            Origin::Pool => CLAIM.min(self.shared.settings.deadlines.spawn),
        };
        self.ask("bind", deadline, Waiting::Bind, |id| {
            HostMessage::Bind(Bind {
                id,
                organization: BoundOrganization { id: binding.organization.to_string(), name },
                config: plain(&binding.config),
                auth: binding.credentials.as_ref().map(auth),
                environment: variables,
                api,
            })
        })
    }

    /// Without code of its own it is warm as soon as it is there.
    pub(super) fn introduce_itself(&mut self) -> Step {
        let registration = match serde_json::value::to_raw_value(&self.package.descriptor.declared) {
            Ok(registration) => registration,
            Err(error) => return self.failed(&format!("what it declares cannot be passed on: {error}")),
        };
        let introduced =
            self.life.hello(VERSION).and_then(|()| self.life.metadata()).and_then(|()| self.life.ready());
        match introduced {
            Ok(true) => {
                self.show_state();
                self.report(Event::Warm(registration));
                ON
            }
            Ok(false) => ON,
            Err(breach) => self.broke_protocol(&breach),
        }
    }

    pub(super) fn run_start(&mut self) -> Step {
        self.begin_start();
        let deadline = self.shared.settings.deadlines.on_start;
        self.ask("onStart", deadline, Waiting::Start, |id| {
            HostMessage::Hook(Hook { id, hook: HookKind::Start, config: None, auth: None })
        })
    }

    pub(super) fn run_hook(&mut self, Request { call, reply }: Request) -> Step {
        if !self.life.belongs() || self.drain.as_ref().is_some_and(|drain| !drain.takes_calls()) {
            let reason = String::from("it is stopping");
            // Whoever asked may have gone away.
            let _ = reply.send(Err(HookError::WorkerGone { reason }));
            return ON;
        }
        let deadlines = self.shared.settings.deadlines;
        let name = call.name().to_owned();
        let hook = |hook| move |id| HostMessage::Hook(Hook { id, hook, config: None, auth: None });
        let waiting = Waiting::Hook(reply);
        match call {
            HookCall::ValidateAuth { config, credentials } => {
                let Waiting::Hook(reply) = waiting else { return ON };
                if let Some(credentials) = &credentials {
                    self.log.mask_later(&credentials.values);
                }
                self.ask(&name, deadlines.on_validate_auth, Waiting::Verdict(reply), |id| {
                    HostMessage::Hook(Hook {
                        id,
                        hook: HookKind::ValidateAuth,
                        config: config.as_ref().map(plain),
                        auth: credentials.as_ref().map(auth),
                    })
                })
            }
            HookCall::ConfigUpdate => {
                self.ask(&name, deadlines.on_config_update, waiting, hook(HookKind::ConfigUpdate))
            }
            // Hooks without a deadline of their own share that of `onConfigUpdate`, for the runner too.
            HookCall::Enable => self.ask(&name, deadlines.on_config_update, waiting, hook(HookKind::Enable)),
            HookCall::Connected => {
                self.ask(&name, deadlines.on_config_update, waiting, hook(HookKind::Connected))
            }
            HookCall::Disable => self.ask(&name, deadlines.on_disable, waiting, hook(HookKind::Disable)),
            HookCall::Cron(job) => {
                let Waiting::Hook(reply) = waiting else { return ON };
                self.ask(&name, deadlines.cron, Waiting::Job(reply), |id| HostMessage::Cron { id, name: job })
            }
            HookCall::Procedure(call) => {
                let Waiting::Hook(reply) = waiting else { return ON };
                self.ask(&name, deadlines.procedure, Waiting::Job(reply), |id| HostMessage::Procedure {
                    id,
                    call: *call,
                })
            }
        }
    }

    fn ask(
        &mut self,
        name: &str,
        after: Duration,
        waiting: Waiting,
        message: impl FnOnce(u64) -> HostMessage,
    ) -> Step {
        let id = self.next_request;
        self.next_request += 1;
        let deadline = Instant::now() + after + self.shared.settings.deadlines.grace;
        self.pending.insert(id, Pending { deadline, after, name: name.to_owned(), waiting });
        let message = message(id);
        if self.process.runner.is_none() {
            return self.on_answer(id, without_code(&message));
        }
        self.send(&message)
    }

    /// An answer to something that nobody waits for any more is none.
    pub(super) fn on_answer(&mut self, id: u64, answer: Result<Value, WireError>) -> Step {
        let Some(Pending { waiting, .. }) = self.pending.remove(&id) else {
            self.charge();
            return ON;
        };
        let outcome = answer.map_err(|error| HookError::Failed(self.log.masked_error(error).into()));
        match waiting {
            Waiting::Bind => match outcome {
                Ok(_) => self.on_bound(),
                Err(error) => return ControlFlow::Break(bind_failure(error.to_string())),
            },
            Waiting::Start => self.hook_started(outcome.map(drop)),
            Waiting::Hook(reply) | Waiting::Job(reply) => {
                let _ = reply.send(outcome);
            }
            Waiting::Verdict(reply) => {
                let _ = reply.send(outcome.map(|verdict| self.log.masked_value(verdict)));
            }
        }
        ON
    }

    /// A worker whose event loop turns keeps its hooks' deadlines itself, so one that is overdue here is blocked.
    pub(super) fn end_overdue(&mut self, now: Instant) -> Step {
        let overdue: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| pending.deadline <= now).map(|(id, _)| *id).collect();
        for id in overdue {
            let Some(Pending { after, name, waiting, .. }) = self.pending.remove(&id) else { continue };
            let timeout = HookError::Timeout { hook: name.clone(), after };
            match waiting {
                Waiting::Job(reply) => {
                    let _ = reply.send(Err(timeout));
                    continue;
                }
                Waiting::Hook(reply) | Waiting::Verdict(reply) => {
                    let _ = reply.send(Err(timeout));
                }
                Waiting::Bind | Waiting::Start => {}
            }
            if self.last_words.is_some() {
                return self.failed(HUNG_UP);
            }
            let after = after.as_secs_f64();
            return self
                .failed(&format!("`{name}` did not end within {after:.1} s, and the event loop is blocked"));
        }
        ON
    }

    fn on_bound(&mut self) {
        if self.life.bound() {
            self.activity.touch();
            self.begin_idleness();
            self.started_serving();
            self.show_state();
            self.report(Event::Bound);
        }
    }
}

/// What a plugin answers that has no code of its own: no hook does anything, and credentials cannot be wrong.
fn without_code(message: &HostMessage) -> Result<Value, WireError> {
    match message {
        HostMessage::Hook(Hook { hook: HookKind::ValidateAuth, .. }) => Ok(json!({ "valid": true })),
        HostMessage::Bind(_) | HostMessage::Hook(_) => Ok(json!({})),
        _ => Err(WireError::of_host(FailureReason::Unsupported, "the plugin has no code of its own")),
    }
}

fn bind_failure(message: String) -> Cause {
    Cause::NeverServed(StartFailure { stage: StartStage::Bind, message, problems: Vec::new(), hint: None })
}

/// The values as they leave for the one that needs them.
fn plain(values: &ConfigValues) -> IndexMap<String, Value> {
    values.iter().map(|(field, value)| (field.to_owned(), value.clone())).collect()
}

fn auth(credentials: &Credentials) -> Auth {
    Auth { method_id: credentials.method_id.clone(), credentials: plain(&credentials.values) }
}
