//! Components and pages that a plugin adds to the dashboard.

use hayloft_model::plugin::{Page, UiComponent, UiExtension};
use hayloft_model::{Problem, Problems};

use super::{MOST_ENTRIES, unique_id};
use crate::document::{Object, View};
use crate::folder::relative_path;
use crate::words::{listed, meant, quoted};

pub(super) fn ui_extensions(message: &Object<'_>, problems: &mut Problems) -> Vec<UiExtension> {
    let items = message.items("uiExtensions", MOST_ENTRIES, problems);
    let extension = |item: &View<'_>, problems: &mut Problems| {
        let extension = item.object(problems)?;
        extension.check_keys(&["slot", "component", "tabName", "tabOrder", "props"], problems);
        ui_extension(&extension, problems)
    };
    items.iter().filter_map(|item| extension(item, problems)).collect()
}

/// A component in a place, wherever it is declared.
pub(crate) fn ui_extension(extension: &Object<'_>, problems: &mut Problems) -> Option<UiExtension> {
    let slot = extension.required("slot", problems).and_then(|slot| slot.label(problems));
    let component = component(extension, "component", problems);
    let tab_name = extension.label("tabName", problems);
    let tab_order = extension.get("tabOrder").and_then(|order| order.count(problems));
    let props = extension.get("props").and_then(|props| {
        props.object(problems)?.check_prototype(problems);
        props.value().as_object().cloned()
    });
    if slot.as_deref() == Some("tab") && extension.get("tabName").is_none() {
        problems.push(
            Problem::error(extension.place_of("tabName"), "is missing, and a tab needs a name")
                .hint("write `\"tabName\": \"Advanced\"`"),
        );
    }
    Some(UiExtension {
        slot: slot?,
        component: component?,
        tab_name,
        tab_order,
        props: props.unwrap_or_default(),
    })
}

pub(super) fn ui_components(message: &Object<'_>, problems: &mut Problems) -> Vec<UiComponent> {
    let items = message.items("uiComponents", MOST_ENTRIES, problems);
    let mut seen = Vec::new();
    let mut read = |item: &View<'_>| {
        let object = item.object(problems)?;
        object.check_keys(&["name", "component"], problems);
        ui_component(&object, "component", &mut seen, problems)
    };
    items.iter().filter_map(&mut read).collect()
}

/// A component with a name, wherever it is declared.
pub(crate) fn ui_component(
    object: &Object<'_>,
    path_key: &str,
    seen: &mut Vec<String>,
    problems: &mut Problems,
) -> Option<UiComponent> {
    let name = unique_id(object, "name", seen, problems);
    let component = component(object, path_key, problems);
    Some(UiComponent { name: name?, component: component? })
}

pub(super) fn pages(message: &Object<'_>, problems: &mut Problems) -> Vec<Page> {
    let items = message.items("pages", MOST_ENTRIES, problems);
    let mut seen = Vec::new();
    items.iter().filter_map(|item| page(item, &mut seen, problems)).collect()
}

fn page(item: &View<'_>, seen: &mut Vec<String>, problems: &mut Problems) -> Option<Page> {
    const SLOTS: [&str; 3] = ["standalone", "after-settings", "before-settings"];
    let page = item.object(problems)?;
    page.check_keys(
        &["id", "title", "component", "icon", "slot", "requiresSetup", "path", "requiresSession"],
        problems,
    );
    let id = unique_id(&page, "id", seen, problems);
    let title = page.required("title", problems).and_then(|title| title.label(problems));
    let component = component(&page, "component", problems);
    let slot = page.label("slot", problems);
    if let Some(slot) = slot.as_deref().filter(|slot| !SLOTS.contains(slot)) {
        let problem =
            Problem::warning(page.place_of("slot"), format!("{} is not a known place", quoted(slot)));
        problems.push(problem.hint(match meant(slot, SLOTS) {
            Some(word) => format!("did you mean {}?", quoted(word)),
            None => format!("known are {}; the page is shown under \"more\"", listed(SLOTS)),
        }));
    }
    let icon = page.label("icon", problems);
    let requires_setup = page.boolean("requiresSetup", problems);
    let path = page.get("path").and_then(|path| page_path(&path, problems));
    let requires_session = page.boolean("requiresSession", problems);
    Some(Page {
        id: id?,
        title: title?,
        component: component?,
        icon,
        slot,
        requires_setup,
        path,
        requires_session,
    })
}

/// A page's own path in the dashboard.
pub(crate) fn page_path(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let path = view.text(problems)?;
    let plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\' | b'"' | b'<' | b'>'));
    let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
    if !path.starts_with('/') || path.contains("//") || path.len() > 512 || !plain || climbs {
        let message = format!("{} cannot be the path of a page", quoted(path));
        problems.push(Problem::error(view.at(), message).hint("write it as `/plugins/my-plugin`"));
        return None;
    }
    Some(path.to_owned())
}

/// A component's file, inside the plugin.
pub(crate) fn component(object: &Object<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    let view = object.required(key, problems)?;
    let component = view.label(problems)?;
    // `@/…` names a component of the dashboard itself.
    if relative_path(component.strip_prefix("@/").unwrap_or(&component)).is_err() {
        let message = format!("{} does not name a file of the plugin", quoted(&component));
        problems
            .push(Problem::error(view.at(), message).hint("give a path such as `components/Settings.vue`"));
        return None;
    }
    Some(component)
}
