//! Which scripts npm runs unasked: none, unless the operator granted them.
//!
//! npm has dozens of spellings for what fetches packages, and takes its own command line more seriously than all
//! settings. So every line of npm's gets our word, where npm reads it last, and nothing is guessed about what the line
//! does. A script that a line asks for by its name runs all the same, and so does a program of `npm exec`.

use std::path::Path;

use hayloft_model::plugin::Command;

/// Whether the scripts of packages may run while they are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scripts {
    /// No.
    Ignored,
    /// The operator said so, for this plugin.
    Granted,
}

/// The word that says no.
const IGNORED: &str = "--ignore-scripts=true";

/// The option that it sets. npm takes every beginning of the name that is no other option's.
const OPTION: &str = "ignore-scripts";

/// The shortest beginning that is `OPTION`'s alone, in bytes.
const SHORTEST: usize = 2;

/// Options of `npx` that take no value, so what follows them is the program.
const SWITCHES: [&str; 7] = ["-y", "--yes", "-q", "--quiet", "-s", "--silent", "--no-install"];

/// How npm's command for running a script by its name is spelled.
const RUN: [&str; 4] = ["run", "run-script", "rum", "urn"];

/// Commands that run nothing but scripts of the folder, by their names.
const BY_NAME: [&str; 6] = ["start", "stop", "test", "t", "tst", "restart"];

/// Options that make `npm run` work in another folder than the one that it is started in.
const ELSEWHERE: [&str; 5] = ["-w", "--w", "-C", "--pref", "--include-w"];

/// A command as it is started: its program, then its arguments.
pub(crate) fn words(command: &Command, scripts: Scripts) -> Vec<String> {
    let arguments = &command.arguments;
    let arguments = match program(command) {
        Some("npm") if scripts == Scripts::Ignored => npm(arguments),
        Some("npx") if scripts == Scripts::Ignored => npx(arguments),
        _ => arguments.clone(),
    };
    std::iter::once(command.program.clone()).chain(arguments).collect()
}

/// Whether a command may ask the registry for packages before anything else.
pub(crate) fn may_fetch(command: &Command) -> bool {
    let verb = command.arguments.first().map_or("", String::as_str);
    program(command).is_some() && !RUN.contains(&verb) && !BY_NAME.contains(&verb)
}

/// A command with what npm would run before and after the script that it names, where `has` knows the scripts of the
/// folder. npm itself leaves those out where it may run nothing unasked.
pub(crate) fn with_neighbours(command: Command, has: impl Fn(&str) -> bool) -> Vec<Command> {
    let neighbour = |place: &str| {
        let [verb, script, rest @ ..] = command.arguments.as_slice() else { return None };
        let moves = |word: &String| {
            ELSEWHERE.iter().any(|start| word.starts_with(start)) && !word.starts_with("--prefer")
        };
        let is_plain = RUN.contains(&verb.as_str()) && !script.starts_with('-') && has(script);
        if program(&command) != Some("npm") || !is_plain || options(rest).iter().any(moves) {
            return None;
        }
        let name = format!("{place}{script}");
        has(&name).then(|| Command { arguments: vec![verb.clone(), name], ..command.clone() })
    };
    let (before, after) = (neighbour("pre"), neighbour("post"));
    before.into_iter().chain([command]).chain(after).collect()
}

fn program(command: &Command) -> Option<&'static str> {
    let name = Path::new(&command.program).file_name()?;
    ["npm", "npx"].into_iter().find(|known| name == *known)
}

/// What npm reads as its own: everything before the dashes that end its options.
fn options(arguments: &[String]) -> &[String] {
    let ends = |word: &String| word.len() >= 2 && word.bytes().all(|byte| byte == b'-');
    arguments.split(ends).next().unwrap_or_default()
}

fn npm(arguments: &[String]) -> Vec<String> {
    let (own, rest) = arguments.split_at(options(arguments).len());
    // An option that still waits for its value takes the first one.
    own.iter().cloned().chain([IGNORED; 2].map(String::from)).chain(rest.iter().cloned()).collect()
}

/// What follows its program is the program's, so our word stands first, and none that npm could read overrules it.
fn npx(arguments: &[String]) -> Vec<String> {
    let mut may_be_value = false;
    let is_program = |word: &String| {
        if word.starts_with('-') {
            may_be_value = !word.contains('=') && !SWITCHES.contains(&word.as_str());
            return word == "--";
        }
        !std::mem::take(&mut may_be_value)
    };
    let end = arguments.iter().position(is_program).unwrap_or(arguments.len());
    let (own, rest) = arguments.split_at(end);
    let own = own.iter().filter(|word| !is_about_scripts(word));
    std::iter::once(IGNORED.to_owned()).chain(own.chain(rest).cloned()).collect()
}

/// Whether npm could read a word as its option about scripts.
fn is_about_scripts(word: &str) -> bool {
    let name = word.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let mut bare = name.trim_start_matches('-');
    while let Some(rest) = bare.strip_prefix("no-") {
        bare = rest;
    }
    name.starts_with('-') && bare.len() >= SHORTEST && OPTION.starts_with(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        let mut words = line.split(' ').map(String::from);
        Command { program: words.next().unwrap(), arguments: words.collect(), ..Command::default() }
    }

    #[test]
    fn scripts_of_packages_do_not_run_whatever_a_line_says() {
        for line in [
            "npm ci",
            "npm install --ignore-scripts=false",
            "npm i --no-ignore-scripts",
            "npm --silent add x",
            "npm ins --ignore-scripts=false",
            "npm isntall-clean --ig=false",
            "npm cit --foreground-scripts",
            "npm --tag run upgrade --ignore-scripts false",
            "npm cleanInstallTest",
            "npm x --ignore-scripts=false say",
            "npm link --ignore-scripts=false --cache",
            "/usr/local/bin/npm dedupe",
            "npm run build",
        ] {
            let ours = format!("{line} {IGNORED} {IGNORED}");
            assert_eq!(words(&command(line), Scripts::Ignored).join(" "), ours);
            assert_eq!(words(&command(line), Scripts::Granted).join(" "), line);
        }
        for (line, ours) in [
            ("npm install --ignore-scripts=false --", "npm install --ignore-scripts=false W W --"),
            ("npm ins --cache --- x", "npm ins --cache W W --- x"),
            ("npm run build -- --mode x -- y", "npm run build W W -- --mode x -- y"),
            ("npx tsc --ignore-scripts=false", "npx W tsc --ignore-scripts=false"),
            ("npx -y eslint --no-ignore .", "npx W -y eslint --no-ignore ."),
            ("npx -p typescript --no-ignore-scripts tsc -p x", "npx W -p typescript tsc -p x"),
            ("npx --package=a --ig=false tsc", "npx W --package=a tsc"),
            ("npx --ignore-scripts=false -- tsc --ig", "npx W -- tsc --ig"),
            ("npx --no-no-no-ignore-scr --offline tsc", "npx W --offline tsc"),
        ] {
            assert_eq!(words(&command(line), Scripts::Ignored).join(" "), ours.replace('W', IGNORED));
        }
        for line in ["node install.js", "tsc --ignore-scripts=false"] {
            assert_eq!(words(&command(line), Scripts::Ignored).join(" "), line);
        }
    }

    #[test]
    fn what_a_script_has_before_and_after_it_is_found() {
        let scripts = ["prebuild", "build", "postbuild", "only", "prelost"];
        let found = |line: &str| {
            let commands = with_neighbours(command(line), |name| scripts.contains(&name));
            commands.iter().map(|command| command.arguments.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(found("npm run build"), ["run prebuild", "run build", "run postbuild"]);
        assert_eq!(
            found("npm run-script build -- -w x"),
            ["run-script prebuild", "run-script build -- -w x", "run-script postbuild"],
            "what follows is the script's own"
        );
        for line in [
            "npm run only",
            "npm run lost",
            "npm run",
            "npm ci build",
            "node run build",
            "npm run --silent build",
            "npm run build --workspace=x",
            "npm run build --prefix x",
        ] {
            assert_eq!(found(line), [line.split_once(' ').unwrap().1], "{line}");
        }
    }

    #[test]
    fn what_fetches_is_told_from_what_runs() {
        for (line, fetches) in [
            ("npm ci", true),
            ("npx say", true),
            ("npm --silent run x", true),
            ("npm run x", false),
            ("npm test", false),
            ("node install.js", false),
        ] {
            assert_eq!(may_fetch(&command(line)), fetches, "{line}");
        }
    }
}
