//! What a worker can ask of the host beside its health, under the names that SDKs use, and who may.

use hayloft_host::{CallableKind, CapabilityDenied, GateCaller, Host, ServerPlace};
use hayloft_model::plugin::Capability;
use hayloft_model::{InstanceKey, Problems};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use super::register_mcp;
use crate::auth::bearer::bearer;
use crate::plugin_api::HostSlot;
use crate::problem::ProblemDetails;

/// The longest message, in bytes. The tools of a server are most of it.
pub(crate) const LONGEST: usize = 1 << 20;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Its name after `pluginApi.`.
    pub(crate) name: &'static str,
    /// Whether it reads or changes something.
    pub(crate) kind: CallableKind,
    /// Where it answers by REST, below `/plugin-api`. The method is POST but for queries with a parameter in their path.
    pub(crate) path: &'static str,
    /// What the plugin must have declared.
    needs: Capability,
    act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    RegisterServer(ServerPlace),
    /// It is known, and this host has nothing to do it with.
    Refuse {
        lacks: &'static str,
    },
}

const CONVERSATIONS: &str = "keeps no conversations";
const CUSTOMERS: &str = "keeps no customers";
const SOURCES: &str = "keeps no sources of conversations";
const PRODUCTS: &str = "keeps no products";
const MAIL: &str = "has no provider for e-mail configured";
const TEXTS: &str = "has no provider for text messages configured";

/// All of them.
pub(crate) const OPERATIONS: [Operation; 14] = {
    use CallableKind::{Mutation, Query};
    use Capability as C;
    const fn refused(
        name: &'static str,
        kind: CallableKind,
        path: &'static str,
        needs: Capability,
        lacks: &'static str,
    ) -> Operation {
        Operation { name, kind, path, needs, act: Act::Refuse { lacks } }
    }
    const fn register(name: &'static str, path: &'static str, place: ServerPlace) -> Operation {
        Operation { name, kind: Mutation, path, needs: C::Mcp, act: Act::RegisterServer(place) }
    }
    [
        register("mcp.registerLocal", "/mcp/register-local", ServerPlace::Local),
        register("mcp.registerRemote", "/mcp/register-remote", ServerPlace::Remote),
        refused("messages.receive", Mutation, "/messages/receive", C::Messages, CONVERSATIONS),
        refused("messages.send", Mutation, "/messages/send", C::Messages, CONVERSATIONS),
        refused(
            "messages.getByConversation",
            Query,
            "/messages/conversation/{id}",
            C::Messages,
            CONVERSATIONS,
        ),
        refused(
            "conversations.updateStatusByExternalId",
            Mutation,
            "/conversations/update-status-by-external-id",
            C::Messages,
            CONVERSATIONS,
        ),
        refused("customers.get", Query, "/customers/{id}", C::Customers, CUSTOMERS),
        refused(
            "customers.findByExternalId",
            Query,
            "/customers/find-by-external-id",
            C::Customers,
            CUSTOMERS,
        ),
        refused("customers.upsert", Mutation, "/customers/upsert", C::Customers, CUSTOMERS),
        refused("sources.register", Mutation, "/sources/register", C::Sources, SOURCES),
        refused("products.upsertMany", Mutation, "/products/upsert-many", C::Products, PRODUCTS),
        refused("products.delete", Mutation, "/products/delete", C::Products, PRODUCTS),
        refused("email.send", Mutation, "/send-email", C::Email, MAIL),
        refused("sms.send", Mutation, "/send-sms", C::Sms, TEXTS),
    ]
};

/// The worker that asks, once its token was seen.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) caller: GateCaller,
    pub(crate) key: InstanceKey,
}

impl Asking {
    /// Lets in who has the token of the worker behind this gate. Whose gate it is decides who asks; the token keeps out
    /// requests that somebody else had a program of the worker send.
    pub(crate) fn read(caller: &GateCaller, headers: &HeaderMap) -> Result<Self, ProblemDetails> {
        if !headers.contains_key(AUTHORIZATION) {
            return Err(ProblemDetails::unauthorized(
                r#"Bearer realm="hayloft""#,
                "the request has no `Authorization: Bearer` field with the worker's token (`HAY_API_TOKEN`)",
            ));
        }
        if !bearer(headers).is_some_and(|token| caller.has_token(token)) {
            return Err(ProblemDetails::unauthorized(
                r#"Bearer realm="hayloft", error="invalid_token""#,
                "the bearer token is not the one of this worker (`HAY_API_TOKEN`)",
            ));
        }
        let key = caller.key().cloned().ok_or_else(|| {
            let detail = "the worker serves no organization";
            ProblemDetails::new(StatusCode::CONFLICT, "not-bound", "The worker serves nobody", detail)
        })?;
        Ok(Self { caller: caller.clone(), key })
    }
}

impl Operation {
    /// Does it for a worker, and gives what is answered.
    pub(crate) async fn run(
        self,
        slot: &HostSlot,
        asking: &Asking,
        input: Option<&RawValue>,
    ) -> Result<Value, ProblemDetails> {
        let host = slot.host()?;
        self.check_capability(&host, asking)?;
        match self.act {
            Act::RegisterServer(place) => {
                let input = input.ok_or_else(|| {
                    ProblemDetails::bad_request(
                        "the server is not described: the body is empty",
                        Problems::new(),
                    )
                })?;
                register_mcp::register(&host, asking, place, input).await
            }
            Act::Refuse { lacks } => {
                let detail = format!("`{}` is not available: this host {lacks}", self.name);
                Err(ProblemDetails::new(
                    StatusCode::NOT_IMPLEMENTED,
                    "not-available",
                    "This host does not do that",
                    detail,
                ))
            }
        }
    }

    /// Whatever this host can do: what the plugin may not is refused first.
    fn check_capability(self, host: &Host, asking: &Asking) -> Result<(), ProblemDetails> {
        let Err(denied) = host.may_use(&asking.key, self.needs) else { return Ok(()) };
        let (slug, title, why) = match denied {
            CapabilityDenied::NotDeclared => (
                "capability-missing",
                "The plugin does not declare what this needs",
                "the plugin does not declare: name it in `capabilities`, or in `permissions.api`",
            ),
            CapabilityDenied::NotGranted => (
                "capability-not-granted",
                "The plugin is not granted what this needs",
                "this version of the plugin asks for and the organization has not granted",
            ),
        };
        let detail = format!("`{}` needs the capability `{}`, which {why}", self.name, self.needs);
        Err(ProblemDetails::new(StatusCode::FORBIDDEN, slug, title, detail))
    }
}
