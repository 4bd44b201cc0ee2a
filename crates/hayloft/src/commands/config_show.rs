//! `hayloft config show`

use super::Context;
use crate::cli::{FormatArgs, SettingsArgs};
use crate::failure::Failure;
use crate::output;

/// Prints every setting with its value and where that came from.
///
/// # Errors
/// Everything that is wrong with the configuration.
pub(crate) fn run(context: &Context<'_>, settings: SettingsArgs, format: FormatArgs) -> Result<(), Failure> {
    let shown = context.load(settings.flags())?.shown;
    if format.json {
        return output::json(&shown);
    }
    let rows = shown
        .into_iter()
        .map(|setting| [setting.key.to_owned(), setting.value.unwrap_or_default(), setting.origin]);
    output::table(["setting", "value", "from"], rows)
}
