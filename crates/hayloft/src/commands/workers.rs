//! `hayloft workers`

use http::Method;

use super::Context;
use crate::cli::WorkersArgs;
use crate::failure::Failure;
use crate::output;

/// Lists the workers that run.
///
/// # Errors
/// When the server does not answer or refuses.
pub(crate) async fn run(context: &Context<'_>, args: WorkersArgs) -> Result<(), Failure> {
    let listed = context.client(&args.connection).await?.ask(Method::GET, "/v1/workers", None).await?;
    if args.format.json {
        return output::json(&listed);
    }
    let columns = [
        "org",
        "pluginId",
        "state",
        "pid",
        "startedAt",
        "lastActivityAt",
        "restarts",
        "rssBytes",
        "cpuSeconds",
        "eventLoopStalls",
        "isolation",
    ];
    let head = [
        "organization",
        "plugin",
        "state",
        "pid",
        "started",
        "last activity",
        "restarts",
        "memory",
        "processor time",
        "stalls",
        "isolation",
    ];
    output::table(head, output::rows(&listed, "workers", columns))
}
