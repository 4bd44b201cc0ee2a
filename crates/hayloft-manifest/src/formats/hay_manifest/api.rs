//! `capabilities.api`: the routes, each handled by a module of its own, and who may call them.

use hayloft_model::plugin::{RouteAccess, RouteDeclaration};
use hayloft_model::{Problem, Problems};

use super::MOST_ITEMS;
use crate::document::Object;
use crate::folder::Folder;
use crate::formats::Located;
use crate::module_file::{self, NamedIn};
use crate::registration::routes;
use crate::words::quoted;

/// The routes of the section.
pub(super) fn read(
    folder: &Folder,
    api: &Object<'_>,
    named_in: NamedIn,
    problems: &mut Problems,
) -> Vec<RouteDeclaration> {
    api.check_keys(&["routes"], problems);
    let mut declared = Vec::new();
    for item in api.items("routes", MOST_ITEMS, problems) {
        let Some(route) = item.object(problems) else { continue };
        route.check_keys(&["method", "path", "handler", "middleware"], problems);
        let handler = Located::required(&route, "handler", problems)
            .and_then(|handler| module_file::locate(folder, &handler, named_in, problems));
        let access = access(&route, problems);
        let pattern = routes::pattern(&route, &item, access, problems);
        if let (Some(pattern), Some(_)) = (pattern, handler) {
            routes::push(pattern, &item, &mut declared, problems);
        }
    }
    declared
}

/// Who may call, as the names of middleware say. An unknown one is refused: leaving it out would open what its author
/// wants closed.
fn access(route: &Object<'_>, problems: &mut Problems) -> RouteAccess {
    let mut access = RouteAccess::Open;
    for name in Located::list(route, "middleware", problems) {
        if name.text == "auth" {
            access = RouteAccess::Organization;
        } else {
            let message = format!("{} is not a middleware of the host", quoted(&name.text));
            problems.push(
                Problem::error(&name.at, message).hint("known is `auth`: do anything else in the handler"),
            );
        }
    }
    access
}
