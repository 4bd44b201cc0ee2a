//! What a person sees of an installation: a bar on a terminal that goes when it is over, plain lines anywhere else.

use std::fs;
use std::io::Read as _;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use hayloft_testkit::{Organization, PluginFolder, TestServer, workspace};
use serde_json::json;

use crate::support::hayloft;

const ROWS: NonZero<u16> = NonZero::new(60).unwrap();

/// What moves a cursor, sets a colour or clears a line begins with it.
const ESCAPE: u8 = 0x1b;

/// What was to be seen on a terminal, each time that something changed, and in the end.
struct Seen {
    screens: Vec<String>,
    bytes: Vec<u8>,
    status: ExitStatus,
}

impl Seen {
    fn last(&self) -> &str {
        self.screens.last().unwrap()
    }

    fn ever(&self, what: impl Fn(&str) -> bool) -> bool {
        self.screens.iter().any(|screen| screen.lines().any(&what))
    }

    /// The colours that it was told to show.
    fn colours(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut commands = text.split('\u{1b}').skip(1);
        commands.any(|rest| {
            let command: String = rest.chars().take_while(|c| !c.is_ascii_alphabetic()).collect();
            let ends = rest.chars().nth(command.chars().count());
            ends == Some('m') && command.starts_with('[') && command.len() > 1 && command != "[0"
        })
    }
}

/// Runs the command line on a terminal of so many columns.
fn on_terminal(columns: NonZero<u16>, environment: &[(&str, &str)], arguments: &[&str]) -> Seen {
    let quoted = |word: &str| format!("'{word}'");
    let binary = workspace::hayloft_binary();
    let words: Vec<String> =
        std::iter::once(binary.to_str().unwrap()).chain(arguments.iter().copied()).map(quoted).collect();
    let line = format!("stty cols {columns} rows {ROWS}; exec {}", words.join(" "));
    #[expect(clippy::disallowed_methods, reason = "the command line is what is tested")]
    let mut command = Command::new("/usr/bin/script");
    command
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut running = command.spawn().expect("a terminal, by `script` of util-linux");
    let mut output = running.stdout.take().unwrap();
    let mut terminal = vt100::Parser::new(ROWS, columns, 0);
    let (mut screens, mut bytes, mut piece) = (vec![String::new()], Vec::new(), [0; 4096]);
    loop {
        let read = output.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        bytes.extend(&piece[..read]);
        terminal.process(&piece[..read]);
        let rows: Vec<String> =
            terminal.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
        let screen = rows.join("\n").trim_end().to_owned();
        if screens.last() != Some(&screen) {
            screens.push(screen);
        }
    }
    Seen { screens, bytes, status: running.wait().unwrap() }
}

/// A plugin that is made by two commands, which take a while and say something.
fn slow(folder: &PluginFolder, id: &str, ends: &str) -> PathBuf {
    let say = |what: &str| format!("for n in 1 2 3; do echo {what} $n; sleep 0.3; done");
    let manifest = json!({
        "id": id, "name": "Slow", "version": "1.0.0", "description": "x", "author": "x", "type": ["mcp-connector"],
        "entry": "./dist/index.js",
        "capabilities": { "mcp": {
            "connection": { "type": "local" }, "transport": "stdio", "startCommand": "node dist/index.js", "tools": [],
            "installCommand": "node fetch.cjs", "buildCommand": "npm run build",
        } },
    });
    let package = json!({ "name": id, "version": "1.0.0", "scripts": {
        "build": format!("{}; mkdir -p dist && cp server.js dist/index.js && {ends}", say("built")),
    } });
    let files = folder.plugin(id).file("manifest.json", manifest.to_string()).manifest(&package);
    let fetch = "let n = 0; const timer = setInterval(() => { console.log('fetched', ++n); if (n === 3) clearInterval(timer); }, 300);";
    files.file("fetch.cjs", fetch).file("server.js", crate::support::stdio_server("'here'")).root().to_owned()
}

struct World {
    server: TestServer,
    acme: Organization,
    staged: PluginFolder,
}

impl World {
    async fn start() -> Self {
        let server = TestServer::builder().start().await;
        let acme = server.organization("Acme").await;
        Self { server, acme, staged: PluginFolder::new() }
    }

    /// The command line that installs a plugin of this name.
    fn install(&self, id: &str, ends: &str) -> Vec<String> {
        let folder = slow(&self.staged, id, ends);
        let url = self.server.url();
        [
            "plugin",
            "install",
            folder.to_str().unwrap(),
            "--enable",
            "--url",
            &url,
            "--token",
            &self.acme.token,
        ]
        .map(String::from)
        .into()
    }

    fn seen(&self, columns: u16, environment: &[(&str, &str)], id: &str, ends: &str) -> Seen {
        let line = self.install(id, ends);
        on_terminal(
            NonZero::new(columns).unwrap(),
            environment,
            &line.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    }
}

/// A row of the screen that is the bar's.
fn is_bar(row: &str) -> bool {
    row.contains('%') || row.contains(['█', '░'])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_how_far_it_is_and_keeps_what_was_said() {
    let world = World::start().await;
    for (columns, name) in [(100, "wide"), (40, "narrow")] {
        let seen = world.seen(columns, &[], &format!("hay-plugin-{name}"), "true");
        let last = seen.last();
        assert!(seen.status.success(), "{last}");
        for step in ["1/2 node fetch.cjs", "2/2 npm run build"] {
            assert!(
                seen.ever(|row| is_bar(row) && row.contains(step)),
                "{name}: {step}: {:#?}",
                seen.screens
            );
        }
        assert!(seen.ever(|row| row.contains(" 50%")), "{name}: {:#?}", seen.screens);
        assert_eq!(seen.ever(|row| row.contains('░')), name == "wide", "{name}: {:#?}", seen.screens);
        // In the end the lines are there, each once and in their order, and the bar is not.
        assert!(!last.lines().any(is_bar), "{last}");
        let said: Vec<&str> = last
            .lines()
            .map(str::trim)
            .filter(|row| row.starts_with("fetched ") || row.starts_with("built "))
            .collect();
        assert_eq!(said, ["fetched 1", "fetched 2", "fetched 3", "built 1", "built 2", "built 3"], "{last}");
        assert!(last.contains("1.0.0 was uploaded") && last.contains("ready"), "{last}");
        // At no time more than one of them.
        let most = seen.screens.iter().map(|screen| screen.lines().filter(|row| is_bar(row)).count()).max();
        assert_eq!(most, Some(1), "{name}: {:#?}", seen.screens);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_what_stays_on_the_screen() {
    let world = World::start().await;
    let seen = world.seen(100, &[], "hay-plugin-fails", "exit 3");
    let last = seen.last();
    assert_eq!(seen.status.code(), Some(1), "{last}");
    assert!(!last.lines().any(is_bar), "{last}");
    assert!(last.contains("built 3") && last.contains("error: "), "{last}");
    let error = last.rfind("error: ").unwrap();
    assert!(last[error..].contains("npm run build"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_coloured_for_whoever_wants_none_and_a_dumb_terminal_gets_lines() {
    let world = World::start().await;
    let plain = world.seen(100, &[("NO_COLOR", "1")], "hay-plugin-plain", "true");
    assert!(plain.status.success() && !plain.colours(), "{}", String::from_utf8_lossy(&plain.bytes));
    assert!(plain.ever(is_bar), "a bar is no colour");
    let dumb = world.seen(100, &[("TERM", "dumb")], "hay-plugin-dumb", "true");
    assert!(
        dumb.status.success() && !dumb.bytes.contains(&ESCAPE),
        "{}",
        String::from_utf8_lossy(&dumb.bytes)
    );
    assert!(!dumb.ever(is_bar) && dumb.last().contains("2/2 npm run build"), "{}", dumb.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_there_are_plain_lines() {
    let world = World::start().await;
    let line = world.install("hay-plugin-piped", "true");
    let output = hayloft(&line.iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.status.success() && !output.stderr.contains(&ESCAPE), "{said}");
    let rows: Vec<&str> = said.lines().collect();
    for expected in ["1/2 node fetch.cjs", "  fetched 1", "2/2 npm run build", "  built 3"] {
        assert_eq!(rows.iter().filter(|row| **row == expected).count(), 1, "{expected}: {said}");
    }
    // The trial of a folder, which needs no server, says the same.
    let folder = world.staged.path().join("hay-plugin-piped");
    #[expect(clippy::disallowed_methods, reason = "the command line is what is tested")]
    let mut command = Command::new(workspace::hayloft_binary());
    // npm is found there.
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").args(["plugin", "check", "--run"]);
    let tried = command.arg(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(said.contains("1/2 node fetch.cjs\n") && !tried.stderr.contains(&ESCAPE), "{said}");
    assert!(!fs::exists(folder.join("dist")).unwrap());
}
