//! The list of hosts that a plugin speaks to, which every format writes the same way.

use std::collections::BTreeSet;

use hayloft_model::plugin::network::{MOST_PORTS, NetworkTarget, NetworkTargetError};
use hayloft_model::{HostName, HostNameError, Problem, Problems};
use schemars::JsonSchema;

use crate::document::{Object, View};
use crate::words::quoted;

/// The key that holds it.
pub(crate) const KEY: &str = "network";

/// Most entries of a list.
const MOST: usize = 200;

/// A host that a plugin speaks to: `"host"`, `"host:port"`, or an object with several ports.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "the type stands for a value's shape: its schema is what is used")]
pub(crate) enum Entry {
    /// `"api.example.com"`, at ports 80 and 443, or `"db.example.com:5432"`.
    Text(#[schemars(regex(pattern = r"^[^*/@:\s]+(:[1-9][0-9]{0,4})?$"))] String),
    /// A host and its ports.
    Ports(HostPorts),
}

/// A host and its ports.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "the type stands for a value's shape: its schema is what is used")]
pub(crate) struct HostPorts {
    /// The host's name.
    #[schemars(regex(pattern = r"^[^*/@:\s]+$"))]
    host: String,
    /// Its ports; 80 and 443 if there is none.
    #[schemars(extend("uniqueItems" = true), inner(range(min = 1, max = 65535)))]
    ports: Option<Vec<u16>>,
}

/// Reads the list; nothing when there is none.
pub(crate) fn read(manifest: &Object<'_>, problems: &mut Problems) -> Option<Vec<NetworkTarget>> {
    let list = manifest.get(KEY)?;
    let mut targets: Vec<NetworkTarget> = Vec::new();
    for item in list.items(MOST, problems) {
        let Some(target) = target(&item, problems) else { continue };
        match targets.iter_mut().find(|known| known.host == target.host) {
            None => targets.push(target),
            Some(known) if known.ports.is_disjoint(&target.ports) => known.ports.extend(target.ports),
            Some(known) => {
                let again: Vec<_> = known.ports.intersection(&target.ports).map(u16::to_string).collect();
                let message = format!("names `{}` at port {} again", target.host, again.join(", "));
                problems.push(Problem::error(item.at(), message).hint("name each host and port once"));
            }
        }
    }
    let ports: BTreeSet<u16> = targets.iter().flat_map(|target| target.ports.iter().copied()).collect();
    if ports.len() > MOST_PORTS {
        let message = format!("names {} different ports; {MOST_PORTS} are the most", ports.len());
        problems.push(Problem::error(list.at(), message));
    }
    Some(targets)
}

fn target(item: &View<'_>, problems: &mut Problems) -> Option<NetworkTarget> {
    if item.is_text() {
        let text = item.text(problems)?;
        return text.parse().map_err(|error| problems.push(problem(item.at(), text, &error))).ok();
    }
    let object = item.object(problems)?;
    object.check_keys(&["host", "ports"], problems);
    let host = object.required("host", problems)?;
    let text = host.text(problems)?;
    let mut ports = BTreeSet::new();
    for port in object.items("ports", MOST_PORTS + 1, problems) {
        let number = port.count(problems)?;
        match u16::try_from(number).ok().filter(|number| *number > 0) {
            Some(number) if !ports.insert(number) => {
                problems.push(Problem::error(port.at(), format!("names port {number} again")));
            }
            Some(_) => {}
            None => {
                problems.push(Problem::error(port.at(), format!("`{number}` is no port between 1 and 65535")))
            }
        }
    }
    let read = HostName::parse(text).map_err(Into::into).and_then(|host| NetworkTarget::new(host, ports));
    read.map_err(|error| problems.push(problem(host.at(), text, &error))).ok()
}

fn problem(at: String, text: &str, error: &NetworkTargetError) -> Problem {
    let problem = Problem::error(at, format!("{} {error}", quoted(text)));
    match error {
        NetworkTargetError::Host(HostNameError::Wildcard) => {
            problem.hint("name each host: `\"api.example.com\"`, `\"files.example.com\"`")
        }
        NetworkTargetError::Host(HostNameError::Address) => problem.hint(
            "name the host; where there is only an address, the operator grants it under a name (`network.private`)",
        ),
        NetworkTargetError::Host(HostNameError::FinalDot | HostNameError::EmptyLabel)
            if text.contains(|character| character != '.') =>
        {
            let bare: Vec<_> = text.split('.').filter(|label| !label.is_empty()).collect();
            problem.hint(format!("write {}", quoted(&bare.join("."))))
        }
        NetworkTargetError::Host(
            HostNameError::NotOnlyAName
            | HostNameError::Empty
            | HostNameError::EmptyLabel
            | HostNameError::FinalDot
            | HostNameError::TooLong
            | HostNameError::Characters,
        )
        | NetworkTargetError::Port => {
            problem.hint("write `\"api.example.com\"`, or `\"db.example.com:5432\"` for another port than 80 and 443")
        }
        NetworkTargetError::Own => problem.hint("leave it out"),
    }
}
