//! `hayloft openapi`

use crate::failure::Failure;
use crate::output;

/// Prints the document.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn run() -> Result<(), Failure> {
    output::json(&hayloft_server::openapi())
}
