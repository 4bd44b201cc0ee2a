//! How npm is asked: its words, and what is said to it beside them.

use std::path::{Path, PathBuf};

use hayloft_model::plugin::Command;

/// npm's file.
pub(crate) const MANIFEST: &str = "package.json";

/// Its lockfiles, the one that counts first.
pub(crate) const LOCKFILES: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

/// What we add to a command of npm's, whatever its author wrote. The last word counts.
const OURS: [&str; 3] = ["--no-audit", "--no-fund", "--no-update-notifier"];

/// Commands of npm's that fetch packages, and could run their scripts.
const FETCHES: [&str; 13] = [
    "install",
    "i",
    "in",
    "add",
    "ci",
    "clean-install",
    "ic",
    "update",
    "up",
    "rebuild",
    "rb",
    "install-ci-test",
    "install-test",
];

/// Fetches what a folder depends on: exactly what its lockfile says, where it has one.
pub(crate) fn install(path: &Path, folder: PathBuf) -> Command {
    let locked = LOCKFILES.iter().any(|name| path.join(name).is_file());
    let verb = if locked { "ci" } else { "install" };
    tamed(Command { program: "npm".into(), arguments: vec![verb.into()], folder, ..Command::default() })
}

/// Runs the package's own `build` script.
pub(crate) fn build() -> Command {
    Command { program: "npm".into(), arguments: vec!["run".into(), "build".into()], ..Command::default() }
}

/// A command with what we add.
pub(crate) fn tamed(mut command: Command) -> Command {
    let fetches = command.arguments.iter().any(|word| FETCHES.contains(&word.as_str()));
    if command.program == "npm" && fetches {
        command.arguments.extend(OURS.map(String::from));
    }
    command
}

/// Whether a word is one that we add.
pub(crate) fn is_ours(word: &str) -> bool {
    OURS.contains(&word)
}

/// Whether the scripts of packages may run while they are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scripts {
    /// No.
    Ignored,
    /// The operator said so, for this plugin.
    Granted,
}

/// The word that says so for a command that fetches, if it is one. It stands last, so no other word overrules it.
pub(crate) fn last_word(command: &Command, scripts: Scripts) -> Option<&'static str> {
    let is_npm = Path::new(&command.program).file_name().is_some_and(|name| name == "npm" || name == "npx");
    let fetches = command.arguments.iter().any(|word| FETCHES.contains(&word.as_str()));
    (is_npm && fetches && scripts == Scripts::Ignored && !command.arguments.iter().any(|word| word == "--"))
        .then_some("--ignore-scripts=true")
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

/// What npm says is wrong, by the code that it gives, as a place, a message and a hint.
pub(crate) fn explained(log: &str) -> Option<(&'static str, String, &'static str)> {
    let said = |line: &str| {
        line.split_once("npm error ")
            .or_else(|| line.split_once("npm ERR! "))
            .map(|(_, rest)| rest.to_owned())
    };
    let lines: Vec<String> = log.lines().filter_map(said).collect();
    let code = lines.iter().find_map(|line| line.strip_prefix("code "))?.trim().to_owned();
    let about = lines
        .iter()
        .find(|line| !line.starts_with("code ") && !line.starts_with("errno ") && !line.trim().is_empty());
    let about: String = about.map(|line| line.chars().take(300).collect()).unwrap_or_default();
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
    fn scripts_of_packages_do_not_run_whatever_a_line_says() {
        let command = |line: &str| {
            let mut words = line.split(' ').map(String::from);
            Command { program: words.next().unwrap(), arguments: words.collect(), ..Command::default() }
        };
        for line in [
            "npm ci",
            "npm install --ignore-scripts=false",
            "npm i --no-ignore-scripts",
            "npm --silent add x",
        ] {
            assert_eq!(last_word(&command(line), Scripts::Ignored), Some("--ignore-scripts=true"), "{line}");
            assert_eq!(last_word(&command(line), Scripts::Granted), None, "{line}");
        }
        for line in ["npm run build", "node install.js", "tsc"] {
            assert_eq!(last_word(&command(line), Scripts::Ignored), None, "{line}");
        }
    }

    #[test]
    fn what_npm_says_is_told_with_its_place() {
        let log = "npm error code EINTEGRITY\nnpm error sha512-AAA integrity checksum failed when using sha512: wanted sha512-AAA but got sha512-BBB. (10 bytes)\n";
        let (at, message, _) = explained(log).unwrap();
        assert_eq!(at, "package-lock.json");
        assert!(message.contains("wanted sha512-AAA but got sha512-BBB"), "{message}");
        assert_eq!(
            explained("npm ERR! code E404\nnpm ERR! 404 Not Found").unwrap().0,
            "package.json#dependencies"
        );
        assert_eq!(explained("tsc: error"), None);
    }
}
