//! What an operator sees of the jail: the doctor's attack on itself, a start that is refused, limits that are too
//! large. Real jails with a real Node: `cargo xtask runtime` and `cargo build -p hayloft-stage` make what they need.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "an-operators-own-token";

/// A folder with a configuration and one plugin.
struct Home(TempDir);

/// A running server, killed when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("plugins")).unwrap();
        Self(home)
    }

    fn configure(&self, text: &str) {
        fs::write(self.0.path().join("hayloft.toml"), text).unwrap();
    }

    /// The smallest sample, asking for these limits.
    fn add_plugin(&self, limits: &Value) {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/examples/hello-tool");
        let folder = self.0.path().join("plugins/hello-tool");
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(&sample).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        let file = folder.join("package.json");
        let mut package: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        package["hay-plugin"]["limits"] = limits.clone();
        fs::write(file, package.to_string()).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the person at the shell, not a plugin host")]
    fn shell(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command.env("HAYLOFT_ADMIN_TOKEN", TOKEN).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn hayloft(&self, arguments: &[&str], strongest: &str) -> Command {
        let mut command = self.shell(env!("CARGO_BIN_EXE_hayloft"), arguments);
        command.env("HAYLOFT_STRONGEST_ISOLATION", strongest);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.hayloft(arguments, "A").output().unwrap()
    }

    fn serve(&self, strongest: &str) -> Server {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--isolation", strongest];
        let mut process = self
            .hayloft(&arguments, strongest)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("ready http://");
        let address = url.unwrap_or_else(|| panic!("it said {line:?}")).to_owned();
        Server { process, address }
    }
}

impl Server {
    fn get(&self, path: &str) -> Value {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test is the person at the shell, not a plugin host"
        )]
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either it runs and must not outlive the test, or it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", text(&output.stdout), text(&output.stderr)))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// The strongest tier that this machine has.
fn own_tier() -> String {
    let home = Home::new();
    json(&home.run(&["doctor", "--json"]))["tier"].as_str().unwrap().to_owned()
}

#[test]
fn the_canary_is_refused_in_every_tier_and_only_there() {
    let home = Home::new();
    for strongest in ["A", "B", "C", "off"] {
        let output = home.hayloft(&["doctor", "--json", "--isolation", "off"], strongest).output().unwrap();
        let report = json(&output);
        let held = report["tier"] != "off";
        // A tier that is weaker than what was asked for is what the machine has, and the same must hold in it.
        assert!(report["tier"] == strongest || strongest == "A" || strongest == "B", "{report}");
        let controls = list(&report["attack"]["controls"]);
        assert!(controls.len() >= 2 && controls.iter().all(|act| act["succeeded"] == true), "{report}");
        let acts = list(&report["attack"]["acts"]);
        assert_eq!(acts.len(), 12);
        for act in acts {
            // What every machine refuses to an ordinary user, and a way that this machine does not have.
            let elsewhere =
                ["become root", "find a way to the internet", "find a way to a cloud's metadata service"];
            let optional = !held && elsewhere.iter().any(|name| act["name"] == *name);
            assert!(optional || act["succeeded"] == !held, "{strongest}: {act}");
            assert!(act["succeeded"] == true || act["why"].is_string(), "{act}");
        }
        assert_eq!(output.status.code(), Some(i32::from(!held)), "{report}");
        let said = text(&home.hayloft(&["doctor"], strongest).output().unwrap().stdout);
        assert_eq!(said.contains("SUCCEEDED"), !held, "{said}");
    }
}

/// A command that starts another one where nobody can make a user namespace. Nothing where that is so anyway.
fn without_user_namespaces(home: &Home) -> Vec<&'static str> {
    let possible = home.shell("unshare", &["--user", "true"]).output().unwrap().status.success();
    if !possible {
        return Vec::new();
    }
    // An ordinary user in a namespace of its own, whose limit is set before the rights to do so are given up.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec setpriv --ambient-caps -all --inh-caps -all --bounding-set -all -- \"$@\"";
    vec!["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "sh", "-c", script, "sh"]
}

#[test]
fn less_than_demanded_is_refused_and_written_down() {
    let home = Home::new();
    let denied = without_user_namespaces(&home);
    // The data folder is made by whoever serves.
    for (minimum, data) in [("B", "data"), ("A", "data")] {
        let mut line = denied.clone();
        line.push(env!("CARGO_BIN_EXE_hayloft"));
        line.extend(["serve", "--listen", "127.0.0.1:0", "--isolation", minimum, "--data-dir", data]);
        let output = home.shell(line[0], &line[1..]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{said}");
        assert!(
            said.contains(&format!("error: isolation `{minimum}` is demanded, and this machine reaches `C`")),
            "{said}"
        );
        assert!(said.contains("error: files: ") && said.contains("error: user: "), "{said}");
        assert!(said.contains("failed to make a user namespace"), "{said}");
        assert_eq!(said.contains("error: control groups: "), minimum == "A", "{said}");
        let fix = "run `sysctl -w user.max_user_namespaces=";
        assert!(denied.is_empty() || said.matches(fix).count() == 1, "{said}");
    }

    let server = home.serve("C");
    let trail = server.get("/v1/audit");
    let lines: Vec<_> = list(&trail["entries"])
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["detail"].clone()))
        .collect();
    assert_eq!(lines.len(), 3, "{trail}");
    assert_eq!((lines[0].0, &lines[0].1["tier"]), ("isolation.in-force", &json!("C")), "{trail}");
    for (line, minimum) in lines[1..].iter().zip(["A", "B"]) {
        assert_eq!((line.0, &line.1["demanded"]), ("isolation.refused", &json!(minimum)), "{trail}");
        let missing: Vec<_> = list(&line.1["missing"]).iter().map(|layer| &layer["layer"]).collect();
        assert!(missing.contains(&&json!("files")), "{trail}");
    }
}

#[test]
fn what_is_in_force_is_said_and_each_change_is_written_down() {
    let home = Home::new();
    let mut trail = Vec::new();
    for tier in ["C", "C", "off", "C"] {
        let server = home.serve(tier);
        assert_eq!(server.get("/health")["isolation"]["tier"], tier);
        let missing = server.get("/health")["isolation"]["missing"].clone();
        assert!(list(&missing).iter().any(|layer| layer["name"] == "files"), "{missing}");
        // The reasons may name files of the host, and anybody may ask.
        assert!(!missing.to_string().contains('('), "{missing}");
        trail.push(list(&server.get("/v1/audit")["entries"]).len());
    }
    assert_eq!(trail, [1, 1, 2, 3]);
}

#[test]
fn a_worker_is_listed_with_what_does_not_hold_it() {
    let home = Home::new();
    home.add_plugin(&json!({}));
    // This kind of jail has no root of its own in which the SDK could lie.
    let packages = home.0.path().join("plugins/hello-tool/node_modules/@hay");
    fs::create_dir_all(&packages).unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/runtime/node_modules/@hay/plugin-sdk");
    std::os::unix::fs::symlink(sdk.canonicalize().unwrap(), packages.join("plugin-sdk")).unwrap();
    let server = home.serve("C");
    home.run(&["org", "create", "Acme"]);
    home.run(&["plugin", "enable", "hay-plugin-hello-tool"]);
    home.run(&["plugin", "call", "hello_tool__hello", "{}"]);
    let worker = json(&home.run(&["workers", "--json"]))["workers"][0].clone();
    let health = server.get("/health");
    let missing: Vec<_> =
        list(&health["isolation"]["missing"]).iter().map(|layer| layer["name"].clone()).collect();
    assert!(missing.contains(&json!("network")), "{health}");
    assert_eq!(worker["isolationMissing"], json!(missing), "{worker}");
}

#[test]
fn a_plugin_that_asks_for_too_much_does_not_start_and_says_where_it_asks() {
    let home = Home::new();
    home.add_plugin(&json!({ "memory": "6GiB", "tasks": 300 }));
    let place = "package.json#hay-plugin.limits.memory";
    {
        let _server = home.serve("C");
        home.run(&["org", "create", "Acme"]);
        let plugin = json(&home.run(&["plugin", "list", "--json"]))["plugins"][0].clone();
        let problem = &plugin["problems"][0];
        assert_eq!(problem["at"], place, "{plugin}");
        assert_eq!(problem["message"], "asks for 6GiB, and this host allows at most 4GiB", "{plugin}");
        let hint = problem["hint"].as_str().unwrap();
        assert!(hint.contains("`limits.maximum_worker_memory`"), "{plugin}");
        let refused = home.run(&["plugin", "enable", "hay-plugin-hello-tool"]);
        assert_ne!(refused.status.code(), Some(0));
        assert!(text(&refused.stderr).contains(place), "{}", text(&refused.stderr));
        assert_eq!(json(&home.run(&["workers", "--json"]))["workers"], json!([]));
    }

    // What the operator allows is given, and what the operator sets wins.
    let tier = own_tier();
    for (configuration, process_memory) in [
        ("maximum_worker_memory = \"6GiB\"\n", 6_u64 << 30),
        ("[plugins.limits.hay-plugin-hello-tool]\nmemory = \"2GiB\"\n", 2 << 30),
    ] {
        home.configure(&format!("[limits]\nworker_process_memory = \"1GiB\"\n{configuration}"));
        let _server = home.serve(&tier);
        let enabled = home.run(&["plugin", "enable", "hay-plugin-hello-tool"]);
        assert!(enabled.status.success(), "{}", text(&enabled.stderr));
        home.run(&["plugin", "call", "hello_tool__hello", "{}"]);
        let workers = json(&home.run(&["workers", "--json"]));
        assert_eq!(workers["workers"][0]["isolation"], tier.as_str(), "{workers}");
        let limits = fs::read_to_string(format!("/proc/{}/limits", workers["workers"][0]["pid"])).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert!(data.contains(&process_memory.to_string()), "{configuration}: {data}");
    }
}
