//! `hayloft serve`

use super::Context;
use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::{lifecycle, telemetry};

/// Serves until a signal says stop.
///
/// # Errors
/// When it cannot start.
pub(crate) async fn run(context: &Context<'_>, args: ServeArgs) -> Result<(), Failure> {
    let loaded = context.load(args.settings.flags())?;
    telemetry::start(&loaded.config.telemetry)?;
    let executable = std::env::current_exe()
        .map_err(|error| Failure::caused("failed to find this program's own file", &error))?;
    lifecycle::serve(&loaded.config, &executable, context.environment).await
}
