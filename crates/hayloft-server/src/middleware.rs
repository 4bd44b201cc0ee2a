//! What every request passes on its way in and every answer on its way out.
//!
//! Knows HTTP only: no layer here may know what an operation does or whose it is.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::state::AppState;

mod ambiguous_paths;
mod catch_panic;
pub(crate) mod observe;
pub(crate) mod origin;
pub(crate) mod response_headers;

use observe::RequestIds;

/// Wraps a router with all layers. The last one added is the outermost.
pub(crate) fn apply(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    let router = router
        // Host and Origin decide for the MCP endpoint only: it is what a web page could reach by DNS rebinding and use
        // without a preflight. Every other route demands a token that no page has, or is meant for strangers.
        .layer(from_fn_with_state(state.clone(), origin::check));
    apply_to_any(router, &state.request_ids)
}

/// Wraps a router with what every face has, the inner one towards plugins included.
pub(crate) fn apply_to_any<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    request_ids: &Arc<RequestIds>,
) -> Router<S> {
    router.layer(from_fn_with_state(Arc::clone(request_ids), pass))
}

/// One layer for all of them: for every request, a layer of the router is copied with everything that lies within it.
async fn pass(State(ids): State<Arc<RequestIds>>, request: Request, next: Next) -> Response {
    // Innermost: a path that two readers could understand in two ways reaches neither the routes nor their rights.
    let plain = |request| ambiguous_paths::refuse(request, |request| next.run(request));
    // Outside everything that can panic, inside of what must still happen then.
    let caught = |request| catch_panic::catch_panic(request, plain);
    // On answers of every kind, refusals and caught panics included.
    let complete = |request| response_headers::add(request, caught);
    // Outermost, so that the id exists before anything can fail and the time is all of the time. Bodies are limited where
    // they are read: in memory by `body`, streamed by `endpoints/routes/proxy`; the head of a request by `serve`.
    observe::observe(&ids, request, complete).await
}
