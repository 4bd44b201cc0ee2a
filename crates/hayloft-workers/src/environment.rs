//! Which variables a process gets, and which names nobody may give it.
//!
//! A loader or an interpreter that reads a variable before the plugin's first line can be made to run anything, so
//! names with such a power are refused wherever they come from.

use std::ffi::OsString;
use std::path::Path;

use hayloft_model::{OrganizationId, PluginDescriptor, Secret};
use indexmap::IndexMap;

use crate::protocol::Api;

/// Names that only the host gives. A plugin that hands on its whole environment to a child is not refused for them;
/// the host's value counts.
const FIXED: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "TZ", "LANG", "OPENSSL_CONF", hayloft_sandbox::MARKER_VARIABLE];

/// Names that change what a process loads or trusts.
const REFUSED: [&str; 12] = [
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_REPL_EXTERNAL_MODULE",
    "NODE_CHANNEL_FD",
    "NODE_V8_COVERAGE",
    "NODE_COMPILE_CACHE",
    "OPENSSL_MODULES",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "BASH_ENV",
    "ENV",
];

const REFUSED_PREFIXES: [&str; 4] = ["HAYLOFT_", "LD_", "DYLD_", "NPM_CONFIG_"];

/// A variable that a process may not get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadVariable {
    #[error("`{0}` is not a variable's name (letters, digits and `_`, not starting with a digit)")]
    Name(String),
    #[error("the variable `{0}` may not be set: it changes what a process loads, or belongs to the host")]
    Reserved(String),
    #[error("the value of `{0}` has a NUL byte")]
    Value(String),
}

/// Whether a process may get this variable.
pub(crate) fn check(name: &str, value: &str) -> Result<(), BadVariable> {
    let shown = || name.chars().take(80).collect::<String>();
    let mut bytes = name.bytes();
    let good_start = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    if !good_start || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(BadVariable::Name(shown()));
    }
    // Some programs look names up without regard to case.
    let upper = name.to_ascii_uppercase();
    if REFUSED.contains(&upper.as_str()) || REFUSED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) {
        return Err(BadVariable::Reserved(shown()));
    }
    if value.contains('\0') {
        return Err(BadVariable::Value(shown()));
    }
    Ok(())
}

/// Whether the name is one that the host gives every process.
fn is_fixed(name: &str) -> bool {
    FIXED.iter().any(|fixed| fixed.eq_ignore_ascii_case(name))
}

/// Whether a worker's organization may bring this variable along.
pub(crate) fn check_bound(name: &str, value: &str) -> Result<(), BadVariable> {
    if is_fixed(name) { Err(BadVariable::Reserved(name.to_owned())) } else { check(name, value) }
}

/// What every process gets, but for the marker, which the sandbox adds.
#[must_use]
pub fn base(node: &Path, home: &Path) -> Vec<(OsString, OsString)> {
    let mut path = OsString::new();
    // The worker's own Node comes first, so that scripts of the plugin find the same one.
    if let Some(folder) = node.parent() {
        path.push(folder);
        path.push(":");
    }
    path.push("/usr/local/bin:/usr/bin:/bin");
    vec![
        ("PATH".into(), path),
        ("TZ".into(), "UTC".into()),
        ("HOME".into(), home.into()),
        ("TMPDIR".into(), home.into()),
        ("LANG".into(), "C.UTF-8".into()),
        // The host's configuration of OpenSSL is not the plugin's. Node does not start when there is one that it may
        // not read, as in a jail without a root of its own.
        ("OPENSSL_CONF".into(), "/dev/null".into()),
    ]
}

/// What a server that is kept up beside a worker is told of its instance, as the plugin's own code is at `bind`.
pub(crate) fn of_instance(
    descriptor: &PluginDescriptor,
    organization: &OrganizationId,
    api: Option<&Api>,
) -> Vec<(String, Secret<String>)> {
    let capabilities: Vec<_> = descriptor.capabilities.iter().map(|capability| capability.as_str()).collect();
    let (organization, plugin) = (organization.to_string(), descriptor.id.to_string());
    let named = |name: &str, value: &str| (name.to_owned(), Secret::new(value.to_owned()));
    let mut variables = vec![
        named("HAY_ORG_ID", &organization),
        named("ORGANIZATION_ID", &organization),
        named("HAY_PLUGIN_ID", &plugin),
        named("PLUGIN_ID", &plugin),
        named("HAY_CAPABILITIES", &capabilities.join(",")),
    ];
    if let Some(Api { url, token }) = api {
        variables.extend([named("HAY_API_URL", url), named("HAY_API_TOKEN", token)]);
    }
    variables
}

/// What a child of a plugin gets: the base and what the plugin gives it.
pub(crate) fn of_child(
    node: &Path,
    home: &Path,
    given: &IndexMap<String, String>,
) -> Result<Vec<(OsString, OsString)>, BadVariable> {
    let mut variables = base(node, home);
    for (name, value) in given {
        if is_fixed(name) {
            continue;
        }
        check(name, value)?;
        variables.push((name.into(), value.into()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_power_are_refused() {
        for name in [
            "NODE_OPTIONS",
            "node_options",
            "NODE_PATH",
            "NODE_EXTRA_CA_CERTS",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "ld_preload",
            "OPENSSL_MODULES",
            "HAYLOFT_MASTER_KEY",
            "Hayloft_x",
            "BASH_ENV",
            "npm_config_prefix",
        ] {
            assert_eq!(check(name, "x"), Err(BadVariable::Reserved(name.into())));
        }
        for name in ["", "A=B", "1A", "A B", "A\0", "Ä", "A-B", "A\n"] {
            assert!(matches!(check(name, "x"), Err(BadVariable::Name(_))), "{name:?}");
        }
        assert_eq!(check("A", "a\0b"), Err(BadVariable::Value("A".into())));
        for name in ["A", "_a", "STRIPE_API_KEY", "NODE_ENV", "HAY_ORG_ID", "LDX", "DEBUG"] {
            assert_eq!(check(name, "any = thing\n"), Ok(()));
        }
        for name in ["PATH", "Home", "TZ", "OPENSSL_CONF", "LD_PRELOAD"] {
            assert!(check_bound(name, "x").is_err());
        }
    }

    #[test]
    fn a_child_gets_the_hosts_own_values() {
        let given =
            [("PATH", "/evil"), ("OPENSSL_CONF", "/evil"), ("HAYLOFT_WORKER", "host/other"), ("KEY", "k")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let got = of_child(Path::new("/opt/node/bin/node"), Path::new("/home/w"), &given).unwrap();
        let got: Vec<_> =
            got.iter().map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap())).collect();
        assert_eq!(
            got,
            [
                ("PATH", "/opt/node/bin:/usr/local/bin:/usr/bin:/bin"),
                ("TZ", "UTC"),
                ("HOME", "/home/w"),
                ("TMPDIR", "/home/w"),
                ("LANG", "C.UTF-8"),
                ("OPENSSL_CONF", "/dev/null"),
                ("KEY", "k"),
            ]
        );
    }
}
