//! A server from start to stop, as its operator sees it. No plugin runs: the runtime is files that are never used.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with all that a server needs.
struct Home(TempDir);

/// A running server, killed when dropped.
struct Server {
    process: Child,
    stdout: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["plugins", "runtime"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        for file in ["runner.cjs", "node"] {
            fs::write(home.path().join("runtime").join(file), "").unwrap();
        }
        Self(home)
    }

    fn path(&self, inner: &str) -> std::path::PathBuf {
        self.0.path().join(inner)
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the person at the shell, not a plugin host")]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hayloft"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn serve(&self) -> Server {
        let mut process = self
            .command(&["serve", "--listen", "127.0.0.1:0", "--runtime-dir", "runtime"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url =
            line.trim_end().strip_prefix("ready ").unwrap_or_else(|| panic!("it said {line:?}")).to_owned();
        Server { process, stdout, url }
    }
}

impl Server {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end: the exit code, what else it said, and its log.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut said, mut log) = (String::new(), String::new());
        self.stdout.read_to_string(&mut said).unwrap();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.process.wait().unwrap().code(), said, log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either it runs and must not outlive the test, or it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn line(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_server_lives_and_is_spoken_to() {
    let home = Home::new();
    let server = home.serve();
    assert_eq!(mode(&home.path("data")), 0o700);
    assert_eq!(mode(&home.path("data/admin-token")), 0o600);

    let org = line(&home.run(&["org", "create", "Acme"]));
    assert!(org.starts_with("org_"), "{org}");
    assert_eq!(json(&home.run(&["org", "list", "--json"]))["orgs"][0]["id"], org.as_str());
    let token = line(&home.run(&["token", "create", "--org", "Acme", "--role", "agent", "--name", "desk"]));
    let listed = json(&home.run(&["token", "list", "--json"]));
    assert_eq!(listed["tokens"][0]["role"], "agent");
    assert_eq!(json(&home.run(&["plugin", "list", "--json"]))["plugins"], Value::Array(Vec::new()));
    assert_eq!(json(&home.run(&["workers", "--json"]))["workers"], Value::Array(Vec::new()));

    let trail = json(&home.run(&["audit", "list", "--org", "Acme", "--json"]));
    assert_eq!(trail["entries"][0]["action"], "token.created", "{trail}");
    let of_host = json(&home.run(&["audit", "list", "--limit", "1", "--json"]));
    assert_eq!(of_host["entries"].as_array().map(Vec::len), Some(1), "{of_host}");
    assert!(line(&home.run(&["audit", "list", "--org", "Acme"])).contains("token.created"));

    // An agent's token lists tools and no more.
    let refused = home.run(&["plugin", "list", "--url", &server.url, "--token", &token]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr)
            .contains("the token's role does not include reading plugins")
    );
    let id = listed["tokens"][0]["id"].as_str().unwrap();
    assert_eq!(line(&home.run(&["token", "role", id, "member"])), format!("{id} is member now"));
    assert_eq!(json(&home.run(&["token", "role", id, "agent", "--json"]))["role"], "agent");
    assert_eq!(line(&home.run(&["token", "revoke", id])), format!("revoked {id}"));
    assert_eq!(json(&home.run(&["token", "revoke", id, "--json"]))["id"], id);
    let revoked = home.run(&["org", "list", "--token", &token]);
    assert!(String::from_utf8_lossy(&revoked.stderr).contains("is not, or no longer, a token"));

    let second = home.run(&["serve", "--listen", "127.0.0.1:0", "--runtime-dir", "runtime"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("failed to lock the data folder"));

    server.signal(Signal::TERM);
    let (code, said, log) = server.end();
    assert_eq!((code, said.as_str()), (Some(0), ""), "{log}");
    assert!(log.contains("the administrator's token is in"), "{log}");
    let administrator = fs::read_to_string(home.path("data/admin-token")).unwrap();
    assert!(!log.contains(administrator.trim()) && !log.contains(&token), "{log}");
    assert!(!home.path("data/server.json").exists());
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let home = Home::new();
    let server = home.serve();
    let org = line(&home.run(&["org", "create", "Acme"]));
    server.signal(Signal::KILL);
    server.end();
    assert!(home.path("data/server.json").exists());

    // What a killed server announced is known to be stale, and the folder can be worked on without a server.
    assert_eq!(home.run(&["org", "list"]).status.code(), Some(1));
    let offline = line(&home.run(&["org", "create", "Offline"]));
    let token = line(&home.run(&["token", "create", "--org", &org, "--role", "member"]));

    let server = home.serve();
    let listed = json(&home.run(&["org", "list", "--json"]));
    let ids: Vec<_> =
        listed["orgs"].as_array().unwrap().iter().map(|org| org["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [org.as_str(), offline.as_str()]);
    let seen = json(&home.run(&["org", "list", "--json", "--token", &token]));
    assert_eq!(seen["orgs"].as_array().unwrap().len(), 1);
    server.signal(Signal::INT);
    let (code, _, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("the administrator's token is in"), "{log}");
}

#[test]
fn the_operators_own_token_is_taken() {
    let home = Home::new();
    fs::write(home.path("hayloft.toml"), "[storage]\nadmin_token = \"short\"\n").unwrap();
    let refused = home.run(&["serve", "--listen", "127.0.0.1:0", "--runtime-dir", "runtime"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("fewer than 16 characters"));

    fs::write(home.path("hayloft.toml"), "[storage]\nadmin_token = \"an-operators-own-token\"\n").unwrap();
    let _server = home.serve();
    assert!(!home.path("data/admin-token").exists());
    assert_eq!(home.run(&["org", "list", "--token", "guess-guess-guess-guess"]).status.code(), Some(1));
    json(&home.run(&["org", "list", "--json", "--token", "an-operators-own-token"]));
    // The client finds it in the configuration too.
    json(&home.run(&["org", "list", "--json"]));
}
