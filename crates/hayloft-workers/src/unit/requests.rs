//! What a worker asks of the host beside MCP servers to connect: things to keep, and things to know.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_model::config::Credentials;
use hayloft_model::{InstanceKey, ServerId, WorkerId, WorkerState};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::servers::ServerTask;
use super::{ANSWERING, ON, Step, Unit};
use crate::protocol::{CapabilityUse, FailureReason, HostMessage, KvOperation, RegisterServer, WireError};
use crate::{Observer, Refusal};

/// Where an answer comes from.
type Answer = BoxFuture<'static, Result<Value, Refusal>>;

impl Unit {
    pub(super) fn update_auth(
        &mut self,
        request: u64,
        method_id: String,
        values: Map<String, Value>,
    ) -> Step {
        let credentials = Credentials { method_id, values: values.into_iter().collect() };
        // Whether the host keeps them or not, the plugin has them.
        self.log.mask_later(&credentials.values);
        if self.life.state() != WorkerState::Bound {
            return self.stopping(request);
        }
        self.ask_host(request, |observer, key, worker| {
            async move {
                let kept = observer.update_auth(&key, worker, credentials).await;
                kept.map(|()| json!({})).map_err(|message| Refusal::new(FailureReason::Refused, message))
            }
            .boxed()
        })
    }

    pub(super) fn update_registration(&mut self, request: u64, registration: Box<RawValue>) -> Step {
        if self.life.state() != WorkerState::Bound {
            return self.stopping(request);
        }
        self.ask_host(request, |observer, key, worker| {
            async move { observer.update_registration(&key, worker, registration).await.map(|()| json!({})) }
                .boxed()
        })
    }

    pub(super) fn register_server(&mut self, request: u64, server: RegisterServer) -> Step {
        if self.life.state() != WorkerState::Bound {
            return self.stopping(request);
        }
        self.ask_host(request, |observer, key, worker| {
            async move { observer.register_mcp(&key, worker, server).await.map(|()| json!({})) }.boxed()
        })
    }

    pub(super) fn withdraw_server(&mut self, request: u64, server: ServerId) -> Step {
        self.ask_host(request, |observer, key, worker| {
            async move { observer.withdraw_mcp(&key, worker, server).await.map(|()| json!({})) }.boxed()
        })
    }

    pub(super) fn kv(&mut self, request: u64, operation: KvOperation) -> Step {
        self.ask_host(request, |observer, key, worker| {
            async move {
                let gets = matches!(operation, KvOperation::Get { .. });
                let value = observer.kv(&key, worker, operation).await?;
                Ok(if gets { json!({ "value": value }) } else { json!({}) })
            }
            .boxed()
        })
    }

    pub(super) fn report_use(&mut self, request: u64, uses: Vec<CapabilityUse>) -> Step {
        self.ask_host(request, |observer, key, worker| {
            async move { observer.report_use(&key, worker, uses).await.map(|()| json!({})) }.boxed()
        })
    }

    /// What a worker says of itself counts only while it serves, or is about to.
    fn stopping(&self, request: u64) -> Step {
        self.refuse(request, FailureReason::Refused, "the worker has no organization, or is stopping")
    }

    /// Asks the observer, and answers the worker when it has.
    fn ask_host(
        &mut self,
        request: u64,
        ask: impl FnOnce(Arc<dyn Observer>, InstanceKey, WorkerId) -> Answer,
    ) -> Step {
        let Some((key, _)) = self.instance.as_ref().filter(|_| self.life.belongs()) else {
            return self.refuse(request, FailureReason::Refused, "the worker has no organization");
        };
        if self.answering >= ANSWERING {
            return self.failed("it has too many requests open");
        }
        self.answering += 1;
        let answer = ask(Arc::clone(&self.shared.observer), key.clone(), self.worker);
        self.tasks.push(async move { ServerTask::Answered { request, result: answer.await } }.boxed());
        ON
    }

    pub(super) fn answered(&mut self, request: u64, result: Result<Value, Refusal>) -> Step {
        self.answering -= 1;
        // A server elsewhere that was refused is none that is open.
        self.elsewhere.retain(|_, asked| *asked != Some(request) || result.is_ok());
        if let Some(agreed) = self.elsewhere.values_mut().find(|asked| **asked == Some(request)) {
            *agreed = None;
        }
        match result {
            Ok(value) => self.send(&HostMessage::Result { id: request, value }),
            Err(refusal) => {
                self.send(&HostMessage::Failure { id: request, error: WireError::of_refusal(refusal) })
            }
        }
    }
}
