//! Every route on one screen. The path of each is in its endpoint file, beside its documentation.

use axum::Router;
use axum::routing::{any, get};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::endpoints::{
    audit, fallback, mcp, operations, organizations, plugins, pools, procedures, routes as plugin_routes,
    tokens, tools,
};
use crate::middleware;
use crate::openapi::Document;
use crate::state::AppState;

/// The routes and the document of them.
#[rustfmt::skip]
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        // /
        .routes(routes!(operations::index::index))
        // /health /ready /metrics /openapi.json
        .routes(routes!(operations::health::health))
        .routes(routes!(operations::ready::ready))
        .routes(routes!(operations::metrics::metrics))
        .routes(routes!(operations::openapi::openapi))
        // /v1/workers /v1/audit
        .routes(routes!(operations::workers::list))
        .routes(routes!(audit::list::list_of_host))
        // /v1/pools /v1/pools/{plugin}
        .routes(routes!(pools::list::list))
        .routes(routes!(pools::limit::limit))
        // /v1/orgs /v1/orgs/{org} /v1/orgs/{org}/stop
        .routes(routes!(organizations::create::create, organizations::list::list))
        .routes(routes!(organizations::remove::remove))
        .routes(routes!(organizations::stop::stop))
        // /v1/orgs/{org}/tokens /v1/orgs/{org}/tokens/{token}
        .routes(routes!(tokens::create::create, tokens::list::list))
        .routes(routes!(tokens::change_role::change_role, tokens::revoke::revoke))
        // /v1/orgs/{org}/audit
        .routes(routes!(audit::list::list))
        // /v1/orgs/{org}/plugins /v1/orgs/{org}/plugins/{plugin}
        .routes(routes!(plugins::list::list))
        .routes(routes!(plugins::get::get, plugins::save::save, plugins::disable::disable))
        // /v1/orgs/{org}/plugins/{plugin}/configuration …/restart …/stop …/priority …/metadata …/permissions …/logs
        .routes(routes!(plugins::purge::purge))
        .routes(routes!(plugins::restart::restart))
        .routes(routes!(plugins::stop::stop))
        .routes(routes!(plugins::priority::choose))
        .routes(routes!(plugins::metadata::metadata))
        .routes(routes!(plugins::grant::grant))
        .routes(routes!(plugins::logs::logs))
        // …/health …/statistics
        .routes(routes!(plugins::health::health))
        .routes(routes!(plugins::statistics::statistics))
        // …/installation …/installation/log …/installation/events
        .routes(routes!(plugins::uninstall::uninstall))
        .routes(routes!(plugins::install_log::install_log))
        .routes(routes!(plugins::install_events::install_events))
        // /v1/plugins/upload
        .routes(routes!(plugins::upload::upload))
        // /v1/orgs/{org}/tools /v1/orgs/{org}/tools/{tool}/call
        .routes(routes!(tools::list::list))
        .routes(routes!(tools::call::call))
        // /v1/orgs/{org}/tools/call /v1/orgs/{org}/tools/cache
        .routes(routes!(tools::batch::call))
        .routes(routes!(tools::caching::get, tools::caching::choose))
        // /v1/mcp
        .routes(routes!(mcp::call::post, mcp::call::listen, mcp::call::leave))
}

/// Routes that OpenAPI cannot write down: any method, and a rest of the path with slashes in it. The document has them
/// as `/v1/plugins/{plugin}/{path}`.
fn of_plugins() -> Router<AppState> {
    Router::new()
        .route("/v1/plugins/{plugin}", any(plugin_routes::proxy::proxy))
        .route("/v1/plugins/{plugin}/", any(plugin_routes::proxy::proxy))
        .route("/v1/plugins/{plugin}/{*path}", any(plugin_routes::proxy::proxy))
        .route("/plugins/public/{plugin}/{*path}", get(plugins::public_file::public_file))
        .route("/plugins/ui/{plugin}/{*path}", get(plugins::ui_file::ui_file))
        // Names of procedures, which plugins bring along. Every other route of this length comes first.
        .route("/v1/{names}", any(procedures::call::call))
}

/// The whole application.
pub(crate) fn router(state: &AppState) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router
        .merge(of_plugins())
        .fallback(fallback::unknown_path)
        .method_not_allowed_fallback(fallback::unknown_method);
    middleware::apply(router, state).with_state(state.clone())
}
