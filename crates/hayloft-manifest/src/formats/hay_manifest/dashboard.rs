//! What a plugin shows in the dashboard: `capabilities.ui`, `settingsExtensions` and `ui`.

use hayloft_model::plugin::Page;
use hayloft_model::{Problem, Problems, Registration};

use super::MOST_ITEMS;
use crate::document::{Object, View};
use crate::formats::Located;
use crate::registration::{component, page_path, ui_component, ui_extension, unique_id};
use crate::words::{listed, meant, quoted};

/// The section `capabilities.ui`: pages, and components that other parts of the dashboard use.
pub(super) fn parts(ui: &Object<'_>, declared: &mut Registration, problems: &mut Problems) {
    ui.check_keys(&["routes", "components"], problems);
    let mut seen = Vec::new();
    for item in ui.items("routes", MOST_ITEMS, problems) {
        declared.pages.extend(page(&item, &mut seen, problems));
    }
    let mut seen = Vec::new();
    for item in ui.items("components", MOST_ITEMS, problems) {
        let Some(object) = item.object(problems) else { continue };
        object.check_keys(&["name", "path"], problems);
        declared.ui_components.extend(ui_component(&object, "path", &mut seen, problems));
    }
}

fn page(item: &View<'_>, seen: &mut Vec<String>, problems: &mut Problems) -> Option<Page> {
    let route = item.object(problems)?;
    route.check_keys(&["path", "component", "name", "meta"], problems);
    let id = unique_id(&route, "name", seen, problems);
    let path = route.required("path", problems).and_then(|path| page_path(&path, problems));
    let component = component(&route, "component", problems);
    // What else is in `meta` is the component's own affair.
    let meta = route.get("meta").and_then(|meta| meta.object(problems));
    let title = meta.as_ref().and_then(|meta| meta.label("title", problems));
    let requires_session = meta.as_ref().and_then(|meta| meta.boolean("requiresAuth", problems));
    let id = id?;
    Some(Page {
        title: title.unwrap_or_else(|| id.clone()),
        id,
        component: component?,
        icon: None,
        slot: None,
        requires_setup: None,
        path: Some(path?),
        requires_session,
    })
}

/// What is shown around the plugin's settings.
pub(super) fn settings_extensions(
    manifest: &Object<'_>,
    declared: &mut Registration,
    problems: &mut Problems,
) {
    const SLOTS: [&str; 3] = ["before-settings", "after-settings", "tab"];
    for item in manifest.items("settingsExtensions", MOST_ITEMS, problems) {
        let Some(object) = item.object(problems) else { continue };
        object.check_keys(&["slot", "component", "tabName", "tabOrder", "props"], problems);
        let Some(extension) = ui_extension(&object, problems) else { continue };
        if !SLOTS.contains(&extension.slot.as_str()) {
            let message = format!("{} is not a known place", quoted(&extension.slot));
            let problem = Problem::warning(object.place_of("slot"), message);
            problems.push(problem.hint(match meant(&extension.slot, SLOTS) {
                Some(word) => format!("did you mean {}?", quoted(word)),
                None => format!("known are {}; the component is shown under \"more\"", listed(SLOTS)),
            }));
        }
        declared.ui_extensions.push(extension);
    }
}

/// The method that the settings form offers first, and whether there is such a form at all.
pub(super) fn settings_page(
    manifest: &Object<'_>,
    declared: &Registration,
    problems: &mut Problems,
) -> (Option<String>, bool) {
    let Some(ui) = manifest.get("ui").and_then(|view| view.object(problems)) else { return (None, false) };
    ui.check_keys(&["auth", "settings"], problems);
    let without = ui.boolean("settings", problems) == Some(false);
    let Some(method) = Located::optional(&ui, "auth", problems) else { return (None, without) };
    if declared.auth_methods.iter().any(|known| known.id() == method.text) {
        return (Some(method.text), without);
    }
    let message = format!("{} is not one of the plugin's auth methods", quoted(&method.text));
    problems.push(Problem::warning(&method.at, message).hint("name it in `capabilities.mcp.auth` too"));
    (None, without)
}
