//! How npm is asked: its words, and what is said to it beside them.

use std::path::{Path, PathBuf};

use hayloft_model::plugin::Command;

mod scripts;

pub(crate) use scripts::{Scripts, may_fetch, with_neighbours, words};

/// npm's file.
pub(crate) const MANIFEST: &str = "package.json";

/// Its lockfiles, the one that counts first.
pub(crate) const LOCKFILES: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

/// Fetches what a folder depends on: exactly what its lockfile says, where it has one.
pub(crate) fn install(path: &Path, folder: PathBuf) -> Command {
    let locked = LOCKFILES.iter().any(|name| path.join(name).is_file());
    let verb = if locked { "ci" } else { "install" };
    Command { program: "npm".into(), arguments: vec![verb.into()], folder, ..Command::default() }
}

/// Runs the package's own `build` script.
pub(crate) fn build() -> Command {
    Command { program: "npm".into(), arguments: vec!["run".into(), "build".into()], ..Command::default() }
}

/// npm's settings, which count more than a package's own `.npmrc`.
pub(crate) fn settings(registry: &str, proxy: Option<&str>, scripts: Scripts) -> Vec<(String, String)> {
    let mut settings = vec![
        ("registry", registry.to_owned()),
        ("cache", String::from("/tmp/npm")),
        ("ignore_scripts", (scripts == Scripts::Ignored).to_string()),
        ("audit", String::from("false")),
        ("fund", String::from("false")),
        ("update_notifier", String::from("false")),
        ("progress", String::from("false")),
        ("color", String::from("false")),
        // The address of a package's archive is the registry's word; where it is fetched from is ours.
        ("replace_registry_host", String::from("always")),
        ("fetch_retries", String::from("2")),
        ("fetch_retry_mintimeout", String::from("500")),
        ("fetch_timeout", String::from("60000")),
        ("git", String::from("/bin/false")),
        // What this machine trusts, its operator's own authority included. npm goes without where there is no such file.
        ("cafile", String::from("/etc/ssl/certs/ca-certificates.crt")),
    ];
    if let Some(proxy) = proxy {
        settings.push(("https_proxy", proxy.to_owned()));
    }
    settings.into_iter().map(|(name, value)| (format!("npm_config_{name}"), value)).collect()
}

/// What npm says went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its code.
    pub(crate) code: String,
    /// The first thing that it says about it.
    pub(crate) about: String,
}

/// What npm says went wrong, if it was npm that said something.
pub(crate) fn failure(log: &str) -> Option<Failure> {
    let said = |line: &str| {
        line.split_once("npm error ")
            .or_else(|| line.split_once("npm ERR! "))
            .map(|(_, rest)| rest.to_owned())
    };
    let lines: Vec<String> = log.lines().filter_map(said).collect();
    let code = lines.iter().find_map(|line| line.strip_prefix("code "))?.trim().to_owned();
    let is_detail = |line: &&String| {
        ["code ", "errno ", "syscall "].iter().any(|start| line.starts_with(start)) || line.trim().is_empty()
    };
    let about = lines.iter().find(|line| !is_detail(line));
    let about = about.map(|line| line.chars().take(300).collect()).unwrap_or_default();
    Some(Failure { code, about })
}

impl Failure {
    /// Whether nobody answered, or not as a registry does: nothing that a package's author could mend.
    pub(crate) fn is_passing(&self) -> bool {
        let status = self.code.strip_prefix('E').and_then(|status| status.parse::<u16>().ok());
        let is_network = matches!(
            self.code.as_str(),
            "EAI_AGAIN"
                | "ECONNABORTED"
                | "ECONNECTIONTIMEOUT"
                | "ECONNREFUSED"
                | "ECONNRESET"
                | "EHOSTUNREACH"
                | "EIDLETIMEOUT"
                | "ENETUNREACH"
                | "ENOTFOUND"
                | "EPIPE"
                | "ERESPONSETIMEOUT"
                | "ERR_SOCKET_TIMEOUT"
                | "ETIMEDOUT"
                | "ETRANSFERTIMEOUT"
        );
        is_network || status.is_some_and(|status| matches!(status, 408 | 429 | 500..=599))
    }

    /// The scheme, host and port that it speaks of, if it does.
    pub(crate) fn origin(&self) -> Option<&str> {
        let start = ["https://", "http://"].iter().filter_map(|scheme| self.about.find(scheme)).min()?;
        let url = self.about.get(start..)?.split_ascii_whitespace().next()?;
        let host = url.find("://")? + "://".len();
        let end = url.get(host..)?.find('/').map_or(url.len(), |path| host + path);
        url.get(..end)
    }
}

/// What an author can mend of it, as a place, a message and a hint.
pub(crate) fn explained(failure: &Failure) -> Option<(&'static str, String, &'static str)> {
    let Failure { code, about } = failure;
    let (at, message, hint) = match code.as_str() {
        "EINTEGRITY" => (
            "package-lock.json",
            format!("the registry has something else than the lockfile says: {about}"),
            "make the lockfile anew from packages that you trust: `rm package-lock.json && npm install`",
        ),
        "EUSAGE" => (
            "package-lock.json",
            format!("does not fit `package.json`: {about}"),
            "run `npm install` and ship the lockfile that it writes",
        ),
        "E404" | "ETARGET" | "ENOVERSIONS" => (
            "package.json#dependencies",
            format!("the registry does not have a package: {about}"),
            "check the name and the version",
        ),
        "ERESOLVE" => (
            "package.json#dependencies",
            format!("the dependencies contradict each other: {about}"),
            "`npm install` in the folder shows which",
        ),
        "EUNSUPPORTEDPROTOCOL" => (
            "package.json#dependencies",
            format!("a dependency is named in a way that is not npm's: {about}"),
            "name a version of a package in the registry",
        ),
        "ENOSPC" => return None,
        _ => return None,
    };
    Some((at, message, hint))
}

/// Where npm's own package is, for a Node executable: where Node's own archives have it, or what `npm` in one of the
/// folders leads to.
#[must_use]
pub fn find_npm(node: &Path, folders: &[PathBuf]) -> Option<PathBuf> {
    let is_npm = |folder: &PathBuf| folder.join("bin/npm-cli.js").is_file();
    let beside =
        node.parent().map(|bin| bin.join("../lib/node_modules/npm")).and_then(|npm| npm.canonicalize().ok());
    let linked = folders.iter().filter_map(|folder| {
        let program = folder.join("npm").canonicalize().ok()?;
        Some(program.parent()?.parent()?.to_owned())
    });
    beside.into_iter().chain(linked).find(is_npm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_npm_says_is_told_with_its_place() {
        let log = "npm error code EINTEGRITY\nnpm error sha512-AAA integrity checksum failed when using sha512: wanted sha512-AAA but got sha512-BBB. (10 bytes)\n";
        let (at, message, _) = explained(&failure(log).unwrap()).unwrap();
        assert_eq!(at, "package-lock.json");
        assert!(message.contains("wanted sha512-AAA but got sha512-BBB"), "{message}");
        assert_eq!(
            explained(&failure("npm ERR! code E404\nnpm ERR! 404 Not Found").unwrap()).unwrap().0,
            "package.json#dependencies"
        );
        assert_eq!(failure("tsc: error"), None);
    }

    #[test]
    fn a_registry_in_trouble_is_told_from_a_package_that_is_wrong() {
        let of = |code: &str| Failure { code: code.to_owned(), about: String::new() };
        for code in ["E503", "E500", "E429", "ETIMEDOUT", "ECONNRESET", "ERR_SOCKET_TIMEOUT", "EAI_AGAIN"] {
            assert!(of(code).is_passing(), "{code}");
        }
        for code in ["E404", "E403", "E600", "E", "EINTEGRITY", "ERESOLVE", "3", "ENOENT"] {
            assert!(!of(code).is_passing(), "{code}");
        }
        let refused = failure(
            "npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error errno ECONNREFUSED\nnpm error FetchError: request to https://npm.example:8443/dep failed, reason: connect\n",
        );
        assert_eq!(refused.unwrap().origin(), Some("https://npm.example:8443"));
        let busy =
            failure("npm error code E503\nnpm error 503 Service Unavailable - GET http://gate/dep - busy\n");
        assert_eq!(busy.unwrap().origin(), Some("http://gate"));
        assert_eq!(of("E503").origin(), None);
    }
}
