//! The HTTP routes that a plugin registered.

use hayloft_model::plugin::route::path_matches;
use hayloft_model::plugin::{HttpMethod, RouteAccess, RouteDeclaration};
use hayloft_model::{Problem, Problems};

use super::MOST_ENTRIES;
use crate::document::{Object, View};
use crate::words::quoted;

/// Longest pattern, in bytes.
const LONGEST_PATTERN: usize = 512;

const METHODS: [HttpMethod; 5] =
    [HttpMethod::Get, HttpMethod::Post, HttpMethod::Put, HttpMethod::Patch, HttpMethod::Delete];

/// What the host itself asks of workers that speak HTTP. A plugin's route of that name could never be told from it.
const CONTROL: [(HttpMethod, &str); 8] = [
    (HttpMethod::Get, "/metadata"),
    (HttpMethod::Post, "/validate-auth"),
    (HttpMethod::Post, "/on-connected"),
    (HttpMethod::Post, "/config-update"),
    (HttpMethod::Post, "/disable"),
    (HttpMethod::Post, "/cron/:name"),
    (HttpMethod::Get, "/mcp/list-tools"),
    (HttpMethod::Post, "/mcp/call-tool"),
];

/// The routes without errors, each once.
pub(super) fn read(message: &Object<'_>, problems: &mut Problems) -> Vec<RouteDeclaration> {
    let mut routes: Vec<RouteDeclaration> = Vec::new();
    for item in message.items("routes", MOST_ENTRIES, problems) {
        let Some(route) = route(&item, problems) else { continue };
        push(route, &item, &mut routes, problems);
    }
    routes
}

/// Adds a route, unless one before it would always answer in its place.
pub(crate) fn push(
    route: RouteDeclaration,
    item: &View<'_>,
    routes: &mut Vec<RouteDeclaration>,
    problems: &mut Problems,
) {
    let same = |earlier: &&RouteDeclaration| {
        earlier.method == route.method && canonical(&earlier.path) == canonical(&route.path)
    };
    if let Some(earlier) = routes.iter().find(same) {
        let message = format!(
            "`{} {}` is already registered as `{} {}`",
            route.method, route.path, earlier.method, earlier.path
        );
        problems
            .push(Problem::error(item.at(), message).hint("remove one: only the first could ever answer"));
    } else {
        routes.push(route);
    }
}

fn route(item: &View<'_>, problems: &mut Problems) -> Option<RouteDeclaration> {
    let object = item.object(problems)?;
    object.check_keys(&["method", "path", "access"], problems);
    let access = object.get("access").and_then(|view| access(&view, problems)).unwrap_or_default();
    pattern(&object, item, access, problems)
}

/// The method and the path of a route.
pub(crate) fn pattern(
    object: &Object<'_>,
    item: &View<'_>,
    access: RouteAccess,
    problems: &mut Problems,
) -> Option<RouteDeclaration> {
    let method = object.required("method", problems).and_then(|view| method(&view, problems));
    let path = object.required("path", problems).and_then(|view| path(&view, problems));
    let route = RouteDeclaration { method: method?, path: path?, access };
    let is_control =
        |(method, path): &&(HttpMethod, &str)| *method == route.method && path_matches(path, &route.path);
    if let Some((method, path)) = CONTROL.iter().find(is_control) {
        let message =
            format!("`{} {}` collides with the host's own `{method} {path}`", route.method, route.path);
        problems.push(Problem::error(item.at(), message).hint("choose another path"));
        return None;
    }
    Some(route)
}

fn access(view: &View<'_>, problems: &mut Problems) -> Option<RouteAccess> {
    match view.text(problems)? {
        "open" => Some(RouteAccess::Open),
        "organization" => Some(RouteAccess::Organization),
        other => {
            let message = format!("{} does not say who may call a route", quoted(other));
            problems.push(Problem::error(view.at(), message).hint("write `open` or `organization`"));
            None
        }
    }
}

fn method(view: &View<'_>, problems: &mut Problems) -> Option<HttpMethod> {
    let name = view.text(problems)?;
    let known = METHODS.into_iter().find(|method| method.as_str() == name);
    if known.is_none() {
        let hint = match METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name)) {
            Some(method) => format!("write `{method}`"),
            None => String::from("use `GET`, `POST`, `PUT`, `PATCH` or `DELETE`"),
        };
        problems.push(
            Problem::error(view.at(), format!("{} is not a method for a route", quoted(name))).hint(hint),
        );
    }
    known
}

fn path(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let path = view.text(problems)?;
    match fault(path) {
        None => Some(path.to_owned()),
        Some((message, hint)) => {
            problems.push(Problem::error(view.at(), format!("{} {message}", quoted(path))).hint(hint));
            None
        }
    }
}

/// What is wrong with a pattern: a fragment that follows its quotation, and advice.
fn fault(path: &str) -> Option<(&'static str, &'static str)> {
    if !path.starts_with('/') {
        return Some(("does not begin with `/`", "write it as `/orders/:id`"));
    }
    if path.len() > LONGEST_PATTERN {
        return Some(("is too long for a path", "keep it below 512 characters"));
    }
    if path
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'?' | b'#' | b'\\' | b'"' | b'<' | b'>'))
    {
        return Some((
            "is not a plain path",
            "leave out spaces, queries and fragments; write others as `%20`",
        ));
    }
    if path.bytes().any(|byte| matches!(byte, b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'+' | b'!')) {
        return Some((
            "uses a pattern that is not supported",
            "use `:name` for one part and `*name` for the rest",
        ));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut segments = path.trim_start_matches('/').split('/').peekable();
    if path.contains("//") {
        return Some(("has an empty part", "write one `/` between parts"));
    }
    while let Some(segment) = segments.next() {
        if matches!(segment, "." | "..") {
            return Some(("leads up or nowhere", "leave out `.` and `..`: no request can name them"));
        }
        let name = match segment.as_bytes().first() {
            Some(b':') => segment.strip_prefix(':'),
            Some(b'*') if segments.peek().is_some() => {
                return Some((
                    "has `*` before its end",
                    "put `*name` last: it stands for the rest of the path",
                ));
            }
            Some(b'*') => segment.strip_prefix('*'),
            _ if segment.contains([':', '*']) => {
                return Some((
                    "mixes text and a name in one part",
                    "give `:name` and `*name` parts of their own",
                ));
            }
            _ => None,
        };
        let Some(name) = name else { continue };
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit());
        if !is_name || (name.is_empty() && segment.starts_with(':')) {
            return Some((
                "has a part without a proper name",
                "use letters, digits and `_` after `:` or `*`",
            ));
        }
        if !name.is_empty() && names.contains(&name) {
            return Some(("uses the same name twice", "name each part differently"));
        }
        names.push(name);
    }
    None
}

/// What a pattern matches, without the names that its author chose.
fn canonical(path: &str) -> String {
    let segment = |segment: &str| match segment.as_bytes().first() {
        Some(b':') => String::from(":"),
        Some(b'*') => String::from("*"),
        _ => segment.to_ascii_lowercase(),
    };
    let trimmed = path.trim_matches('/');
    trimmed.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_plain_paths() {
        for good in
            ["/", "/webhook", "/orders/:id/lines", "/files/*path", "/files/*", "/a%20b", "/a-b.c/", "/@x"]
        {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in [
            "",
            "webhook",
            "//x",
            "/x//y",
            "/x/../y",
            "/.",
            "/a b",
            "/a?b=1",
            "/a#b",
            "/ä",
            "/a\\b",
            "/:",
            "/:1",
            "/:id/:id",
            "/*rest/x",
            "/a{/b}",
            "/a(.*)",
            "/x:id",
            "/a\0",
            "http://x/y",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn equal_routes_are_equal_whatever_their_names() {
        assert_eq!(canonical("/Orders/:id/"), canonical("/orders/:order"));
        assert_ne!(canonical("/orders/:id"), canonical("/orders/id"));
    }
}
