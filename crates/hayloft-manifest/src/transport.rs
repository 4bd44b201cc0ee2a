//! What an MCP server speaks over, as plugins name it.

use hayloft_model::plugin::{McpEndpoint, McpTransport};
use hayloft_model::{Problem, Problems};

use crate::document::Object;
use crate::formats::Located;
use crate::normalize::suggestion;
use crate::words::quoted;

/// Most names in one list.
const MOST_NAMES: usize = 100;

/// The transports that are named, whichever way: `a|b|c`, or a list.
pub(crate) fn named(server: &Object<'_>, key: &str, problems: &mut Problems) -> Vec<McpTransport> {
    let Some(view) = server.get(key) else { return Vec::new() };
    let named: Vec<Located> = if view.is_array() {
        let items = view.items(MOST_NAMES, problems);
        items.iter().filter_map(|item| Located::read(item, problems)).collect()
    } else {
        let Some(text) = Located::read(&view, problems) else { return Vec::new() };
        let part = |part: &str| Located { text: part.trim().to_owned(), at: text.at.clone() };
        text.text.split('|').map(part).collect()
    };
    let mut transports = Vec::new();
    for name in named {
        let known = McpTransport::ALL.into_iter().find(|transport| transport.as_str() == name.text);
        if known.is_none() {
            let names = McpTransport::ALL.map(McpTransport::as_str);
            let message = format!("{} is not a transport", quoted(&name.text));
            problems.push(Problem::error(&name.at, message).hint(suggestion(&name.text, &names)));
        }
        transports.extend(known.filter(|known| !transports.contains(known)));
    }
    transports.sort_unstable();
    transports
}

/// The transports that make sense where the server is.
pub(crate) fn usable(
    mut named: Vec<McpTransport>,
    endpoint: &McpEndpoint,
    at: &str,
    problems: &mut Problems,
) -> Vec<McpTransport> {
    match endpoint {
        McpEndpoint::Process { .. } if named.is_empty() => vec![McpTransport::Stdio],
        McpEndpoint::Process { .. } => named,
        // The address says it already (RFC 6455, section 3).
        McpEndpoint::Remote { url } if named.is_empty() && url.starts_with("ws") => {
            vec![McpTransport::Websocket]
        }
        McpEndpoint::Remote { .. } if named.is_empty() => vec![McpTransport::Http, McpTransport::Sse],
        McpEndpoint::Remote { .. } => {
            named.retain(|transport| *transport != McpTransport::Stdio);
            if named.is_empty() {
                let message = "`stdio` reaches no server that is elsewhere";
                problems.push(Problem::error(at, message).hint("write `\"transport\": \"http\"`"));
            }
            named
        }
    }
}
