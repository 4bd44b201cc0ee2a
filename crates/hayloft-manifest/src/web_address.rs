//! Addresses on the web that a manifest or a worker names.

use hayloft_model::{Problem, Problems};

use crate::document::View;
use crate::words::quoted;

/// An absolute address, without credentials in it.
pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    of_scheme(view, &[("https", "http")], problems)
}

/// The same of an MCP server, which may be one of a WebSocket (RFC 6455, section 3).
pub(crate) fn read_server(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    of_scheme(view, &[("https", "http"), ("wss", "ws")], problems)
}

/// One of these schemes, each beside the one that is the same in the clear.
fn of_scheme(
    view: &View<'_>,
    schemes: &[(&'static str, &'static str)],
    problems: &mut Problems,
) -> Option<String> {
    let text = view.text(problems)?;
    let hint = "write a whole address, such as `https://provider.example/path`";
    match text.parse::<http::Uri>() {
        Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            let message = format!("{} holds credentials", quoted(uri.host().unwrap_or_default()));
            problems.push(
                Problem::error(view.at(), message).hint("remove them: everybody can read this address"),
            );
            None
        }
        Ok(uri)
            if schemes
                .iter()
                .any(|(safe, clear)| [Some(*safe), Some(*clear)].contains(&uri.scheme_str()))
                && uri.host().is_some_and(|host| !host.is_empty()) =>
        {
            let clear = schemes.iter().find(|(_, clear)| uri.scheme_str() == Some(clear));
            if let Some((safe, clear)) = clear {
                let hint =
                    format!("use `{safe}`; plain `{clear}` works only for addresses that an operator grants");
                let message = format!("{} is not encrypted", quoted(text));
                problems.push(Problem::warning(view.at(), message).hint(hint));
            }
            Some(text.to_owned())
        }
        _ => {
            problems
                .push(Problem::error(view.at(), format!("{} is not a web address", quoted(text))).hint(hint));
            None
        }
    }
}
