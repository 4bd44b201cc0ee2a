//! Call a procedure of a plugin's own router.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hayloft_model::plugin::ProcedureKind;
use hayloft_model::{Caller, InstanceKey, OrganizationId, Scope};
use hayloft_store::calls::{CallKind, CallOutcome, CallRecord};
use hayloft_workers::protocol::{CallableKind, ProcedureAnswer, ProcedureCall, ProcedureCaller};
use hayloft_workers::{HookError, Unavailable};
use serde_json::value::RawValue;

use crate::Host;
use crate::plugins::known::{KnownPlugin, Preparing};
use crate::tools::rates::TooSoon;
use crate::workers::told_to_people;

/// A call as it came from outside.
#[derive(Clone, Debug)]
pub struct CallProcedure {
    /// What stands before the names of the plugin's procedures: `myPlugin`.
    pub namespace: String,
    /// The name within its router: `orders.list`.
    pub path: String,
    /// What the caller wants of it.
    pub kind: CallableKind,
    /// What it is given, as the caller wrote it.
    pub input: Option<Box<RawValue>>,
}

/// Why a procedure gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallProcedureError {
    /// No plugin that the organization switched on has such a procedure. A stranger learns no more than that.
    #[error("there is no such procedure")]
    UnknownProcedure,
    /// It is a procedure of another kind.
    #[error("the procedure is a {}", named(*.0))]
    OtherKind(ProcedureKind),
    /// The plugin is called faster than the operator lets it.
    #[error("the plugin is called faster than this host allows")]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
    /// The worker cannot serve at the moment.
    #[error("{}", told_to_people(.0))]
    Unavailable(Unavailable),
    /// The worker broke while it served.
    #[error("the plugin broke: {0}")]
    Broken(HookError),
}

impl CallProcedureError {
    /// When to try again, if that helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { retry_after } => Some(*retry_after),
            Self::Unavailable(unavailable) => unavailable.retry_after(),
            _ => None,
        }
    }
}

const fn named(kind: ProcedureKind) -> &'static str {
    match kind {
        ProcedureKind::Query => "query",
        ProcedureKind::Mutation => "mutation",
        ProcedureKind::Subscription => "subscription",
    }
}

impl Host {
    /// Calls a procedure for an organization. What the procedure itself says, an error included, is the answer. Whether
    /// a caller is needed the plugin decides; who it is the host says, and a token of another organization is nobody's.
    ///
    /// # Errors
    /// See [`CallProcedureError`].
    pub async fn call_procedure(
        &self,
        caller: Option<&Caller>,
        organization: OrganizationId,
        call: CallProcedure,
    ) -> Result<ProcedureAnswer, CallProcedureError> {
        let (plugin, key) =
            self.router_of(organization, &call.namespace).ok_or(CallProcedureError::UnknownProcedure)?;
        self.check_kind(&plugin, &key, &call).await?;
        let caller = caller.filter(|caller| caller.sees(organization));
        let (at, begun) = (self.clock.now(), Instant::now());
        let name = call.path.clone();
        let answered = self.answer_procedure(&key, caller, call).await;
        let (outcome, reason) = told(&answered);
        self.take_down(CallRecord {
            organization,
            plugin: key.plugin,
            kind: CallKind::Procedure,
            server: None,
            name,
            caller: caller.map_or_else(|| String::from("public"), ToString::to_string),
            at,
            duration: begun.elapsed(),
            outcome,
            reason: reason.map(str::to_owned),
        });
        answered
    }

    /// The plugin whose procedures have this name before them, if the organization switched it on.
    fn router_of(
        &self,
        organization: OrganizationId,
        namespace: &str,
    ) -> Option<(Arc<KnownPlugin>, InstanceKey)> {
        let plugin = self.plugins.with_procedures(organization, namespace)?;
        if !self.organization_exists(&organization) {
            return None;
        }
        let key = InstanceKey { organization, plugin: plugin.id.clone() };
        self.instances.get(&key).filter(|instance| instance.enabled)?;
        Some((plugin, key))
    }

    async fn check_kind(
        &self,
        plugin: &KnownPlugin,
        key: &InstanceKey,
        call: &CallProcedure,
    ) -> Result<(), CallProcedureError> {
        plugin.register(self.asked(), Preparing::Installed).await.map_err(|problems| {
            tracing::warn!(instance = %key, %problems, "the plugin's procedures are not known");
            CallProcedureError::UnknownProcedure
        })?;
        let registered = self.registered_for(plugin, key);
        let procedures = registered.iter().flat_map(|registered| &registered.registration.procedures);
        let procedure = procedures.into_iter().find(|procedure| procedure.path == call.path);
        let kind = procedure.ok_or(CallProcedureError::UnknownProcedure)?.kind;
        match (kind, call.kind) {
            (ProcedureKind::Query, CallableKind::Query)
            | (ProcedureKind::Mutation, CallableKind::Mutation) => Ok(()),
            (other, _) => Err(CallProcedureError::OtherKind(other)),
        }
    }

    async fn answer_procedure(
        &self,
        key: &InstanceKey,
        caller: Option<&Caller>,
        call: CallProcedure,
    ) -> Result<ProcedureAnswer, CallProcedureError> {
        let too_many = |TooSoon { retry_after }| CallProcedureError::TooMany { retry_after };
        self.rates.take(key).map_err(too_many)?;
        let worker = self.workers.ensure(key).await.map_err(CallProcedureError::Unavailable)?;
        let scopes = |caller: &Caller| {
            let may = Scope::ALL.into_iter().filter(|scope| caller.may(key.organization, *scope));
            may.map(|scope| scope.as_str().to_owned()).collect()
        };
        let call = ProcedureCall {
            path: call.path,
            kind: call.kind,
            input: call.input,
            // A token belongs to an organization, not to a person.
            caller: caller.map(|caller| ProcedureCaller { user_id: None, scopes: scopes(caller) }),
        };
        worker.call_procedure(call).await.map_err(CallProcedureError::Broken)
    }
}

/// How a call ended, as the journal tells it.
fn told(answered: &Result<ProcedureAnswer, CallProcedureError>) -> (CallOutcome, Option<&'static str>) {
    match answered {
        Ok(ProcedureAnswer { status: 500.., .. }) => (CallOutcome::PluginBroke, Some("failed")),
        Ok(ProcedureAnswer { status: 400.., .. }) => (CallOutcome::Refused, None),
        Ok(_) => (CallOutcome::Done, None),
        Err(CallProcedureError::UnknownProcedure | CallProcedureError::OtherKind(_)) => {
            (CallOutcome::BadInput, None)
        }
        Err(CallProcedureError::TooMany { .. }) => (CallOutcome::BadInput, Some("too_many")),
        Err(CallProcedureError::Unavailable(_)) => (CallOutcome::PluginBroke, Some("unavailable")),
        Err(CallProcedureError::Broken(error)) => match error {
            HookError::TooLong { .. } => (CallOutcome::BadInput, Some("too_large")),
            HookError::WorkerGone { .. } => (CallOutcome::PluginBroke, Some("crashed")),
            _ if error.is_timeout() => (CallOutcome::PluginBroke, Some("timeout")),
            HookError::Failed(_) | HookError::Timeout { .. } | HookError::Unreadable { .. } => {
                (CallOutcome::PluginBroke, Some("failed"))
            }
        },
    }
}
