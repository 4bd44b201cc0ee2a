//! Addresses on the web that a manifest or a worker names.

use hayloft_model::{Problem, Problems};

use crate::document::View;
use crate::words::quoted;

/// An absolute address, without credentials in it.
pub(crate) fn read(view: &View<'_>, problems: &mut Problems) -> Option<String> {
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
            if matches!(uri.scheme_str(), Some("https" | "http"))
                && uri.host().is_some_and(|host| !host.is_empty()) =>
        {
            if uri.scheme_str() == Some("http") {
                problems.push(
                    Problem::warning(view.at(), format!("{} is not encrypted", quoted(text)))
                        .hint("use `https`; plain `http` works only for addresses that an operator grants"),
                );
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
