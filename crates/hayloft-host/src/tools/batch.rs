//! Call several tools at once, each with an outcome of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use hayloft_mcp::service::BreakReason;
use hayloft_mcp::{CallTool, ToolFailure};
use hayloft_model::{Caller, OrganizationId};
use serde_json::value::RawValue;

use super::call::CallToolError;
use crate::Host;

/// The most calls at once.
pub const MOST_CALLS: usize = 100;

/// How much the results may hold together, in bytes. What comes later is refused.
const MOST_BYTES: usize = 16 << 20;

impl Host {
    /// Calls tools at the same time and gives what came of each, in the order of the calls. None of them waits for
    /// another but by the organization's share, and what happens to one is nothing to the others.
    pub async fn call_tools(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        calls: Vec<CallTool>,
    ) -> Vec<Result<Box<RawValue>, CallToolError>> {
        let held = AtomicUsize::new(0);
        let calls = calls.into_iter().map(async |call| {
            let name = self.find_tool(caller, organization, None, &call.name)?;
            let result = self.call_tool(caller, organization, CallTool { name, ..call }).await?;
            let size = result.get().len();
            if held.fetch_add(size, Ordering::Relaxed) + size > MOST_BYTES {
                let message = format!("the results of all calls together are longer than {MOST_BYTES} bytes");
                let reason = BreakReason::TooLarge;
                return Err(ToolFailure::Broke { reason, message, retry_after: None }.into());
            }
            Ok(result)
        });
        join_all(calls).await
    }
}
