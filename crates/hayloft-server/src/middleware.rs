//! What every request passes on its way in and every answer on its way out.
//!
//! Knows HTTP only: no layer here may know what an operation does or whose it is.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::state::AppState;

mod ambiguous_paths;
mod catch_panic;
pub(crate) mod observe;
pub(crate) mod origin;
pub(crate) mod response_headers;

use observe::RequestIds;

/// Wraps a router with all layers. The last one added is the outermost, so read from the bottom up.
pub(crate) fn apply(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    let router = router
        // Host and Origin decide for the MCP endpoint only: it is what a web page could reach by DNS rebinding and use
        // without a preflight. Every other route demands a token that no page has, or is meant for strangers.
        .layer(from_fn_with_state(state.clone(), origin::check));
    apply_to_any(router, &state.request_ids)
}

/// Wraps a router with the layers of every face, the inner one towards plugins included. Read from the bottom up.
pub(crate) fn apply_to_any<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    request_ids: &Arc<RequestIds>,
) -> Router<S> {
    router
        // A path that two readers could understand in two ways reaches neither the routes nor their rights.
        .layer(from_fn(ambiguous_paths::refuse))
        // Outside everything that can panic, inside of what must still happen then.
        .layer(from_fn(catch_panic::catch_panic))
        // On answers of every kind, refusals and caught panics included.
        .layer(from_fn(response_headers::add))
        // Outermost, so that the id exists before anything can fail and the time is all of the time. Bodies are
        // limited where they are read: in memory by `body`, streamed by `endpoints/routes/proxy`; the head of a
        // request by `serve`.
        .layer(from_fn_with_state(Arc::clone(request_ids), observe::observe))
}
