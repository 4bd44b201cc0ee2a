//! Start commands that are npm's words: `npx server`, `npm start`, `npm run serve`, `node_modules/.bin/server`.
//!
//! A worker has Node and no npm, and nothing is fetched while a plugin runs. What such a line means stands in the
//! folder, once it is installed: the module behind a package's program, the words of a script of `package.json`. So
//! it is looked up here and becomes a command that needs nobody to look anything up. Nothing is run, no shell is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hayloft_model::plugin::Command;
use hayloft_model::{Problem, Problems};

use crate::command_line;
use crate::folder::{Folder, Modules};
use crate::words::quoted;

mod packages;

use packages::{bin, json, plain, program_of, without_version};

/// Scripts that name scripts that name scripts …
const DEEPEST: usize = 8;

/// Largest module whose first line is looked at, in bytes.
const LARGEST_MODULE: u64 = 64 * 1024 * 1024;

/// Words of `npx` and `npm exec` that change nothing here: nothing is fetched, and nobody is asked.
const QUIET: [&str; 12] = [
    "-y",
    "--yes",
    "-q",
    "--quiet",
    "-s",
    "--silent",
    "--no",
    "--no-install",
    "--offline",
    "--prefer-offline",
    "--prefer-online",
    "--ignore-scripts",
];

/// Why a line of npm's cannot be run.
struct Fault {
    message: String,
    hint: String,
}

impl Fault {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// What a lookup came to.
enum Found {
    /// The command to run.
    Command(Command),
    /// It is not in the folder.
    Missing(Fault),
}

/// The command that does what the given one asks of npm; the given one if it asks nothing. While a folder may still
/// have to be installed, what is missing in it is no problem yet, and the command stays as its author wrote it.
pub(crate) fn resolved(
    folder: &Folder,
    command: Command,
    at: &str,
    problems: &mut Problems,
) -> Option<Command> {
    let fault = match resolve(folder, &command, 0) {
        Ok(Found::Command(resolved)) => return Some(resolved),
        Ok(Found::Missing(_)) if folder.modules() == Modules::Expected => return Some(command),
        Ok(Found::Missing(fault)) | Err(fault) => fault,
    };
    problems.push(Problem::error(at, fault.message).hint(fault.hint));
    None
}

fn resolve(folder: &Folder, command: &Command, depth: usize) -> Result<Found, Fault> {
    if depth > DEEPEST {
        return Err(Fault::new("names scripts without end", "name the program itself"));
    }
    let words: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
    match command.program.as_str() {
        "npx" => package_program(folder, command, &words),
        "npm" => npm(folder, command, &words, depth),
        program if program.contains("node_modules/.bin/") => linked_program(folder, command, program),
        // A script's programs are those of the packages first.
        program if depth > 0 && !program.contains('/') && program != "node" => {
            let found = bin(folder, &command.folder, program);
            Ok(Found::Command(
                found.map_or_else(|| command.clone(), |file| run(folder, command, file, &words)),
            ))
        }
        _ => Ok(Found::Command(command.clone())),
    }
}

fn npm(folder: &Folder, command: &Command, words: &[&str], depth: usize) -> Result<Found, Fault> {
    let mut place = command.folder.clone();
    let mut rest = words;
    let (verb, rest) = loop {
        match rest {
            [first, others @ ..] if QUIET.contains(first) => rest = others,
            ["--prefix" | "-C", path, others @ ..] => {
                let path = crate::folder::relative_path(path).map_err(|_| {
                    Fault::new(
                        format!("{} is not a folder of the plugin", quoted(path)),
                        "name one relative to it, such as `npm --prefix mcp start`",
                    )
                })?;
                place.push(path);
                rest = others;
            }
            [verb, others @ ..] => break (*verb, others),
            [] => return Err(not_npms("npm")),
        }
    };
    let within = Command { folder: place, ..command.clone() };
    match (verb, rest) {
        ("start", rest) => script(folder, &within, "start", rest, depth),
        ("run" | "run-script" | "rum" | "urn", rest) => {
            let rest = unquiet(rest);
            match rest {
                [name, rest @ ..] if !name.starts_with('-') => script(folder, &within, name, rest, depth),
                _ => Err(not_npms("npm run")),
            }
        }
        ("exec" | "x", rest) => package_program(folder, &within, rest),
        (verb, _) => Err(not_npms(&format!("npm {verb}"))),
    }
}

fn not_npms(line: &str) -> Fault {
    Fault::new(
        format!("{} starts no server: there is no npm where plugins run", quoted(line)),
        "name a program, such as `node mcp/index.js`; `npm start`, `npm run NAME` and `npx PROGRAM` are looked up in the folder",
    )
}

fn unquiet<'w, 'a>(mut words: &'w [&'a str]) -> &'w [&'a str] {
    while let [first, rest @ ..] = words
        && QUIET.contains(first)
    {
        words = rest;
    }
    words
}

/// The program of a script of the folder's `package.json`.
fn script(
    folder: &Folder,
    command: &Command,
    name: &str,
    rest: &[&str],
    depth: usize,
) -> Result<Found, Fault> {
    let file = command.folder.join("package.json");
    let shown = file.display();
    let scripts = json(folder, &file).map(|package| package["scripts"].clone()).unwrap_or_default();
    if scripts[format!("pre{name}")].is_string() {
        return Err(Fault::new(
            format!("the script `{name}` has a `pre{name}`, and a server is one program"),
            "name the program that serves; what comes before it belongs into `buildCommand`",
        ));
    }
    let line = match scripts[name].as_str() {
        Some(line) => line.to_owned(),
        // What npm does when nothing is said.
        None if name == "start" && folder.locate(&path_of(&command.folder, "server.js")).is_ok() => {
            String::from("node server.js")
        }
        None => {
            return Err(Fault::new(
                format!("`{shown}` has no script `{name}`"),
                "write it, or name the program itself, such as `node mcp/index.js`",
            ));
        }
    };
    let mut said = Problems::new();
    let Some(parsed) = command_line::command(&line, "script", &mut said) else {
        let problem = said.into_iter().next();
        let (message, hint) = problem
            .map_or_else(Default::default, |problem| (problem.message, problem.hint.unwrap_or_default()));
        return Err(Fault::new(format!("the script `{name}` of `{shown}`: {message}"), hint));
    };
    let given = rest.strip_prefix(&["--"]).unwrap_or(rest);
    let mut environment: BTreeMap<String, String> = command.environment.clone();
    environment.extend(parsed.environment);
    let next = Command {
        program: parsed.program,
        arguments: parsed.arguments.into_iter().chain(given.iter().map(|word| (*word).to_owned())).collect(),
        environment,
        folder: plain(&command.folder.join(parsed.folder)).unwrap_or_default(),
    };
    resolve(folder, &next, depth + 1)
}

/// The program of a package, as `npx` finds it.
fn package_program(folder: &Folder, command: &Command, words: &[&str]) -> Result<Found, Fault> {
    let mut package = None;
    let mut rest = words;
    let (name, rest) = loop {
        match rest {
            [first, others @ ..] if QUIET.contains(first) || *first == "--" => rest = others,
            ["-p" | "--package", named, others @ ..] => {
                package = Some(*named);
                rest = others;
            }
            [first, others @ ..] if first.starts_with("--package=") => {
                package = first.split_once('=').map(|(_, named)| named);
                rest = others;
            }
            [first, ..] if first.starts_with('-') => {
                return Err(Fault::new(
                    format!("{} is not looked up in the folder", quoted(&format!("npx {first}"))),
                    "write `npx PROGRAM …`, with what it needs in the dependencies of `package.json`",
                ));
            }
            [name, others @ ..] => break (*name, others),
            [] => return Err(not_npms("npx")),
        }
    };
    let bare = without_version(name);
    let of_package = match package {
        Some(package) => program_of(folder, &command.folder, without_version(package), Some(bare)),
        None => program_of(folder, &command.folder, bare, None),
    };
    let found = of_package.or_else(|| bin(folder, &command.folder, bare));
    let rest = rest.strip_prefix(&["--"]).unwrap_or(rest);
    Ok(match found {
        Some(file) => Found::Command(run(folder, command, file, rest)),
        None => {
            let package = without_version(package.unwrap_or(name));
            Found::Missing(Fault::new(
                format!(
                    "there is no program of a package `{bare}` in the plugin's folder, and nothing is fetched while it runs"
                ),
                format!(
                    "add `{package}` to the `dependencies` of `package.json`, so that it is installed with the plugin"
                ),
            ))
        }
    })
}

/// A program that is named by its link in a folder of packages.
fn linked_program(folder: &Folder, command: &Command, program: &str) -> Result<Found, Fault> {
    let words: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
    // Authors think of the folder that the server runs in, or of the plugin's root.
    let found = [command.folder.as_path(), Path::new("")]
        .into_iter()
        .filter_map(|base| plain(&base.join(program)))
        .find(|path| folder.locate(&path.to_string_lossy()).is_ok());
    Ok(match found {
        Some(file) => Found::Command(run(folder, command, file, &words)),
        None => {
            let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
            Found::Missing(Fault::new(
                format!("{} does not exist", quoted(program)),
                format!(
                    "add the package that has the program `{name}` to the `dependencies` of `package.json`"
                ),
            ))
        }
    })
}

/// The command that runs a package's program: by Node, where the program says that it is Node's.
fn run(folder: &Folder, command: &Command, file: PathBuf, rest: &[&str]) -> Command {
    let rest = rest.iter().map(|word| (*word).to_owned());
    let is_nodes = folder.read_text(&file.to_string_lossy(), LARGEST_MODULE).is_ok_and(|text| {
        let first = text.lines().next().unwrap_or_default();
        !first.starts_with("#!") || first.contains("node")
    });
    // Relative to where it runs, since that is where both a program and a module are looked for.
    let path = match file.strip_prefix(&command.folder) {
        Ok(below) => below.to_owned(),
        Err(_) => command.folder.components().map(|_| "..").collect::<PathBuf>().join(&file),
    };
    let shown = path.to_string_lossy().into_owned();
    let common = |program: String, arguments: Vec<String>| Command {
        program,
        arguments,
        environment: command.environment.clone(),
        folder: command.folder.clone(),
    };
    if is_nodes {
        common(String::from("node"), std::iter::once(shown).chain(rest).collect())
    } else {
        common(format!("./{shown}"), rest.collect())
    }
}

fn path_of(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn plugin() -> tempfile::TempDir {
        let plugin = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = plugin.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "package.json",
            r#"{ "scripts": { "start": "node mcp/index.js", "serve": "NODE_ENV=production one --port 1", "chain": "npm run serve -- -v",
                "both": "npm run build && node x.js", "loop": "npm run loop", "shell": "node $X", "twice": "node x.js",
                "pretwice": "node y.js", "in": "cd mcp && node index.js" } }"#,
        );
        write("mcp/package.json", r#"{ "scripts": { "start": "one" } }"#);
        write("node_modules/one/package.json", r#"{ "bin": "./cli.js" }"#);
        write("node_modules/one/cli.js", "#!/usr/bin/env node\n");
        write("node_modules/@scope/many/package.json", r#"{ "bin": { "many": "a.js", "more": "./b.sh" } }"#);
        write("node_modules/@scope/many/a.js", "console.log(1)");
        write("node_modules/@scope/many/b.sh", "#!/bin/sh\n");
        write("node_modules/out/package.json", r#"{ "bin": "../../../x.js" }"#);
        fs::create_dir_all(plugin.path().join("node_modules/.bin")).unwrap();
        symlink("../one/cli.js", plugin.path().join("node_modules/.bin/one")).unwrap();
        symlink("../@scope/many/b.sh", plugin.path().join("node_modules/.bin/more")).unwrap();
        symlink("/etc/hostname", plugin.path().join("node_modules/.bin/passwd")).unwrap();
        plugin
    }

    fn shown(modules: Modules, line: &str) -> String {
        let plugin = plugin();
        let folder = Folder::open(plugin.path(), modules).unwrap();
        let mut problems = Problems::new();
        let command = command_line::command(line, "x", &mut problems).unwrap();
        let Some(command) = resolved(&folder, command, "x", &mut problems) else {
            let problem = problems.into_iter().next().unwrap();
            assert!(problem.hint.is_some(), "{line}");
            return problem.message;
        };
        assert!(problems.is_empty(), "{line}: {problems}");
        let words: Vec<String> =
            command.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<String> =
            words.into_iter().chain([command.program]).chain(command.arguments).collect();
        format!("{}:{}", command.folder.display(), words.join(" "))
    }

    #[test]
    fn npms_words_become_programs_of_the_folder() {
        for (line, expected) in [
            ("npx one", ":node node_modules/one/cli.js"),
            ("npx -y one@1.2.3 --port 1", ":node node_modules/one/cli.js --port 1"),
            ("npx --yes -- one -x", ":node node_modules/one/cli.js -x"),
            ("npx @scope/many@latest a", ":node node_modules/@scope/many/a.js a"),
            ("npx -p @scope/many more a", ":./node_modules/@scope/many/b.sh a"),
            ("npx --package=@scope/many more", ":./node_modules/@scope/many/b.sh"),
            ("npx more", ":./node_modules/.bin/more"),
            ("npm exec -- one a", ":node node_modules/one/cli.js a"),
            ("node_modules/.bin/one a", ":node node_modules/.bin/one a"),
            ("./node_modules/.bin/more", ":./node_modules/.bin/more"),
            ("cd mcp && npx one", "mcp:node ../node_modules/one/cli.js"),
            ("cd mcp && ../node_modules/.bin/one", "mcp:node ../node_modules/.bin/one"),
            ("npm start", ":node mcp/index.js"),
            ("npm run start -- --port 1", ":node mcp/index.js --port 1"),
            ("npm --silent run serve", ":NODE_ENV=production node node_modules/.bin/one --port 1"),
            ("A=b npm run chain", ":A=b NODE_ENV=production node node_modules/.bin/one --port 1 -v"),
            ("npm run in", "mcp:node index.js"),
            ("npm --prefix mcp start", "mcp:node ../node_modules/.bin/one"),
            ("cd mcp && npm start", "mcp:node ../node_modules/.bin/one"),
            // What is none of npm's stays as it is.
            ("node mcp/index.js", ":node mcp/index.js"),
            ("one", ":one"),
        ] {
            assert_eq!(shown(Modules::There, line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_once_the_folder_is_whole() {
        for (line, expected) in [
            (
                "npx two",
                "there is no program of a package `two` in the plugin's folder, and nothing is fetched while it runs",
            ),
            (
                "npx out",
                "there is no program of a package `out` in the plugin's folder, and nothing is fetched while it runs",
            ),
            (
                "npx passwd",
                "there is no program of a package `passwd` in the plugin's folder, and nothing is fetched while it runs",
            ),
            ("./node_modules/.bin/two", "`./node_modules/.bin/two` does not exist"),
        ] {
            assert_eq!(shown(Modules::There, line), expected, "{line}");
            assert_eq!(shown(Modules::Expected, line), format!(":{line}"), "{line}");
        }
        for (line, expected) in [
            ("npm run missing", "`package.json` has no script `missing`"),
            (
                "npm run both",
                "the script `both` of `package.json`: `npm run build && node x.js` runs more than one program",
            ),
            (
                "npm run shell",
                "the script `shell` of `package.json`: `node $X` needs a shell for `$`, and none is asked",
            ),
            ("npm run twice", "the script `twice` has a `pretwice`, and a server is one program"),
            ("npm run loop", "names scripts without end"),
            ("npm install", "`npm install` starts no server: there is no npm where plugins run"),
            ("npm", "`npm` starts no server: there is no npm where plugins run"),
            ("npx", "`npx` starts no server: there is no npm where plugins run"),
            ("npx --call x", "`npx --call` is not looked up in the folder"),
        ] {
            assert_eq!(shown(Modules::Expected, line), expected, "{line}");
        }
    }
}
