//! `plugins.refreshMCPTools`: ask a plugin's servers for their tools anew.

use hayloft_host::RefreshToolsError;
use serde::Serialize;

use super::{Asked, OfPlugin, shape};
use crate::endpoints::plugins::restart::{does_not_start, switched_off};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;
use crate::trpc::wire::Written;

impl From<RefreshToolsError> for ProblemDetails {
    fn from(error: RefreshToolsError) -> Self {
        match error {
            RefreshToolsError::Denied(denied) => denied.into(),
            RefreshToolsError::UnknownPlugin(_) => Self::unknown_plugin(),
            RefreshToolsError::NotEnabled(_) => switched_off(),
            RefreshToolsError::Unavailable(ref unavailable) => {
                does_not_start(error.to_string(), unavailable.retry_after())
            }
            RefreshToolsError::Store(error) => Self::internal(&error),
        }
    }
}

#[derive(Serialize)]
struct Refreshed {
    success: bool,
    tools: Vec<shape::Tool>,
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Written, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let tools = asked.host.refresh_tools(asked.caller, asked.organization, &id).await;
    let tools = shape::tools(&tools.map_err(ProblemDetails::from)?)?;
    Written::of(&Refreshed { success: true, tools })
}
