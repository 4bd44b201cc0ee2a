//! Command lines of manifests, read as words: `cd mcp && npm ci` is two steps, and no shell is ever asked.
//!
//! What only a shell could do (pipes, variables, patterns, several commands at once) is a problem, since a line that
//! means something else here than its author thinks is worse than none.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use hayloft_model::plugin::Command;
use hayloft_model::{Problem, Problems};

use crate::normalize::is_env_name;
use crate::words::{is_unprintable, quoted};

/// Most commands in one line.
const MOST_COMMANDS: usize = 20;

/// The commands of a line in order, each with the folder that it runs in; `None` if anything in it is wrong.
pub(crate) fn commands(line: &str, at: &str, problems: &mut Problems) -> Option<Vec<Command>> {
    match read(line) {
        Ok(commands) if commands.is_empty() => {
            problems
                .push(Problem::error(at, "runs nothing").hint("name a program, such as `node mcp/index.js`"));
            None
        }
        Ok(commands) => Some(commands),
        Err(fault) => {
            problems.push(Problem::error(at, fault.message).hint(fault.hint));
            None
        }
    }
}

/// The one command of a line that starts a server.
pub(crate) fn command(line: &str, at: &str, problems: &mut Problems) -> Option<Command> {
    let mut commands = commands(line, at, problems)?;
    let last = commands.pop();
    if !commands.is_empty() {
        let message = format!("{} runs more than one program", quoted(line));
        problems.push(Problem::error(at, message).hint(
            "name only the program that serves; what comes before it belongs into `installCommand` or `buildCommand`",
        ));
        return None;
    }
    last
}

/// What is wrong with a line.
struct Fault {
    message: String,
    hint: &'static str,
}

impl Fault {
    fn new(message: String, hint: &'static str) -> Self {
        Self { message, hint }
    }
}

/// A word, or the sign that ends a command.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// A word, and whether any of it was quoted.
    Word(String, Quotes),
    /// `&&`
    Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Some,
}

fn read(line: &str) -> Result<Vec<Command>, Fault> {
    let mut folder = PathBuf::new();
    let mut commands = Vec::new();
    for words in parts(line)?.split(|part| *part == Part::Then) {
        let mut environment = BTreeMap::new();
        let mut rest = words;
        while let Some((Part::Word(word, _), others)) = rest.split_first() {
            let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_env_name(name)) else {
                break;
            };
            environment.insert(name.to_owned(), value.to_owned());
            rest = others;
        }
        let mut words = rest.iter().filter_map(|part| match part {
            Part::Word(word, _) => Some(word.clone()),
            Part::Then => None,
        });
        let Some(program) = words.next().filter(|program| !program.is_empty()) else {
            return Err(Fault::new(
                format!("a program is missing in {}", quoted(line)),
                "write a program on both sides of `&&`",
            ));
        };
        let arguments: Vec<String> = words.collect();
        if program == "cd" {
            folder = changed(&folder, &arguments)?;
            continue;
        }
        for word in arguments.iter().chain([&program]) {
            leads_out(&folder, word)?;
        }
        commands.push(Command { program, arguments, environment, folder: folder.clone() });
    }
    if commands.len() > MOST_COMMANDS {
        let message = format!("runs {} commands; at most {MOST_COMMANDS} are taken", commands.len());
        return Err(Fault::new(message, "put them into a script of `package.json` and run that"));
    }
    Ok(commands)
}

/// The folder after `cd`.
fn changed(folder: &Path, arguments: &[String]) -> Result<PathBuf, Fault> {
    let [to] = arguments else {
        return Err(Fault::new(String::from("`cd` without exactly one folder"), "write `cd mcp && …`"));
    };
    let outside = || {
        let message = format!("`cd` to {} leads out of the plugin's folder", quoted(to));
        Fault::new(message, "name a folder inside the plugin, such as `cd mcp`")
    };
    let mut changed = folder.to_owned();
    for component in Path::new(to).components() {
        match component {
            Component::Normal(part) => changed.push(part),
            Component::CurDir => {}
            Component::ParentDir if changed.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(changed)
}

/// Refuses a word that names something outside the plugin's folder by going up.
fn leads_out(folder: &Path, word: &str) -> Result<(), Fault> {
    // `--config=../x` names a path too.
    let path = word.rsplit('=').next().unwrap_or(word);
    let mut depth = folder.components().count();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir => {
                return Err(Fault::new(
                    format!("{} leads out of the plugin's folder", quoted(word)),
                    "keep what runs inside the folder: nothing outside it can be seen",
                ));
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(())
}

fn parts(line: &str) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    let mut word: Option<(String, Quotes)> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if is_unprintable(character) && !matches!(character, '\t' | '\n') {
            return Err(Fault::new(
                format!("{} holds invisible characters", quoted(line)),
                "write plain text",
            ));
        }
        match character {
            ' ' | '\t' => parts.extend(word.take().map(|(word, quotes)| Part::Word(word, quotes))),
            '&' if characters.peek() == Some(&'&') => {
                characters.next();
                parts.extend(word.take().map(|(word, quotes)| Part::Word(word, quotes)));
                parts.push(Part::Then);
            }
            '\'' | '"' => {
                let (word, quotes) = word.get_or_insert_with(|| (String::new(), Quotes::Some));
                *quotes = Quotes::Some;
                quotation(character, &mut characters, word, line)?;
            }
            '\\' => {
                let escaped = characters.next().filter(|escaped| *escaped != '\n');
                let escaped = escaped.ok_or_else(|| needs_a_shell(line, '\\'))?;
                word.get_or_insert_with(|| (String::new(), Quotes::None)).0.push(escaped);
            }
            '&' | '|' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | '\n' => {
                return Err(needs_a_shell(line, character));
            }
            '#' | '~' | '!' if word.is_none() => return Err(needs_a_shell(line, character)),
            other => word.get_or_insert_with(|| (String::new(), Quotes::None)).0.push(other),
        }
    }
    parts.extend(word.map(|(word, quotes)| Part::Word(word, quotes)));
    Ok(parts)
}

/// The text up to the closing quote.
fn quotation(
    quote: char,
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    word: &mut String,
    line: &str,
) -> Result<(), Fault> {
    while let Some(character) = characters.next() {
        match character {
            closing if closing == quote => return Ok(()),
            '\\' if quote == '"'
                && characters.peek().is_some_and(|next| matches!(next, '"' | '\\' | '$' | '`')) =>
            {
                word.extend(characters.next());
            }
            '$' | '`' if quote == '"' => return Err(needs_a_shell(line, character)),
            other => word.push(other),
        }
    }
    Err(Fault::new(format!("a quotation in {} never ends", quoted(line)), "close it with the same quote"))
}

fn needs_a_shell(line: &str, sign: char) -> Fault {
    let sign = quoted(&sign.to_string());
    Fault::new(
        format!("{} needs a shell for {sign}, and none is asked", quoted(line)),
        "write programs with plain words, joined by `&&`; put anything else into a script of `package.json`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let mut problems = Problems::new();
        match commands(line, "x", &mut problems) {
            None => problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; "),
            Some(commands) => {
                let one = |command: &Command| {
                    let environment: Vec<_> =
                        command.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    let folder = command.folder.display();
                    format!("{folder}:{}{}{:?}", environment.join(","), command.program, command.arguments)
                };
                commands.iter().map(one).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn lines_are_read_as_words() {
        for (line, expected) in [
            ("npm install", ":npm[\"install\"]"),
            ("cd mcp && npm ci --ignore-scripts", "mcp:npm[\"ci\", \"--ignore-scripts\"]"),
            ("  cd  ./mcp&&npm ci&&cd ..&&npm run build", "mcp:npm[\"ci\"] :npm[\"run\", \"build\"]"),
            ("node 'a b.js' \"c\\\"d\" e\\ f ''", ":node[\"a b.js\", \"c\\\"d\", \"e f\", \"\"]"),
            ("NODE_ENV=production A='b c' node x.js", ":A=b c,NODE_ENV=productionnode[\"x.js\"]"),
            ("node x.js --flag=1 '$HOME'", ":node[\"x.js\", \"--flag=1\", \"$HOME\"]"),
            ("cd a/b && node ../index.js", "a/b:node[\"../index.js\"]"),
            ("npx -y @scope/server@1.2.3", ":npx[\"-y\", \"@scope/server@1.2.3\"]"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused() {
        for line in [
            "a | b", "a > b", "a; b", "a & b", "a || b", "a $B", "a \"$B\"", "a `b`", "a *.js", "a (b)",
            "~/a", "# a", "a\nb", "a \\",
        ] {
            assert!(shown(line).contains("needs a shell for"), "{line}: {}", shown(line));
        }
        for (line, expected) in [
            ("", "a program is missing in ``"),
            ("a &&", "a program is missing in `a &&`"),
            ("A=b", "a program is missing in `A=b`"),
            ("cd mcp", "runs nothing"),
            ("cd .. && a", "`cd` to `..` leads out of the plugin's folder"),
            ("cd / && a", "`cd` to `/` leads out of the plugin's folder"),
            ("cd a b && c", "`cd` without exactly one folder"),
            ("node ../x.js", "`../x.js` leads out of the plugin's folder"),
            ("node a/../../x.js", "`a/../../x.js` leads out of the plugin's folder"),
            ("a --b=../c", "`--b=../c` leads out of the plugin's folder"),
            ("a 'b", "a quotation in `a 'b` never ends"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn a_server_is_one_program() {
        let mut problems = Problems::new();
        assert!(command("cd mcp && node index.js", "x", &mut problems).is_some());
        assert!(command("npm ci && node index.js", "x", &mut problems).is_none());
        assert_eq!(problems.len(), 1);
    }
}
