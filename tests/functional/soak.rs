//! A short soak: calls, saves, abandoned sessions, switches and killed workers at once, again and again. No call is lost
//! that no crash took, and after each lap the host holds as much as after the first. An hour of it is a suite of
//! `benches/`.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use futures::future::{join_all, try_join};
use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFolder, TestServer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{counting_plugin, mcp_plugin, text_of, until};

const COUNTING: &str = "hay-plugin-counting";
const ECHO: &str = "hay-plugin-echo";

const ECHOING: &str = r#"{
  listTools: () => [{ name: "say", inputSchema: { type: "object" } }],
  callTool: (_name, { word }) => word,
}"#;

/// What one lap has. Each part goes on as fast as it can, so all of them meet.
const CALLERS: usize = 4;
const CALLS: usize = 160;
const SESSIONS: usize = 250;
const SAVES: usize = 4;
const SWITCHES: usize = 4;
const KILLS: usize = 4;

/// How many calls there are after each kill.
const CALLS_AFTER_KILL: usize = 20;

/// How many laps are compared with the first one.
const LAPS: usize = 2;

/// How many descriptors the host may hold beyond what it held after the first lap: fewer than there are saves, switches or
/// kills since, so that one left behind by each of any kind is too many. Connections of clients are counted apart: that one
/// of them closes must not make up for what leaks.
const DESCRIPTORS: usize = 4;
const _: () =
    assert!(DESCRIPTORS < LAPS * SAVES && DESCRIPTORS < LAPS * SWITCHES && DESCRIPTORS < LAPS * KILLS);

/// The same of memory. With so many calls it is 4 KiB for each of them, and 20 KiB for each abandoned session, which by right
/// holds 3 until it expires. What a save, a switch or a kill leaves behind shows here from a MiB on, since each takes a
/// worker's start: thousands of them are in the suites `cycles` and `soak` of `benches/`. An allocator takes memory by the
/// megabyte: of that, once or twice makes no leak.
const MEBIBYTES: u64 = 10;

/// The descriptors that the host holds.
#[derive(Clone, Copy, Debug)]
struct Open {
    connections: usize,
    others: usize,
}

/// Whom the lap is run with.
struct Crew {
    server: TestServer,
    calm: Vec<Organization>,
    switched: Organization,
    killed: Organization,
}

#[tokio::test]
async fn lap_after_lap_nothing_is_lost_and_nothing_grows() {
    let plugins = PluginFolder::new();
    counting_plugin(&plugins);
    mcp_plugin(&plugins, ECHO, ECHOING);
    let server = TestServer::start(plugins.path()).await;
    let mut calm = Vec::new();
    for name in ["One", "Two"] {
        let organization = server.organization(name).await;
        organization.enable(ECHO, json!({})).await;
        organization.enable(COUNTING, json!({ "n": 0 })).await;
        calm.push(organization);
    }
    let switched = server.organization("Switched").await;
    let killed = server.organization("Killed").await;
    killed.enable(ECHO, json!({})).await;
    let mut crew = Crew { server, calm, switched, killed };

    crew.lap(0).await;
    let (processes, descriptors, memory) = crew.settled().await;
    for number in 1..=LAPS {
        crew.lap(number).await;
        let (now, _, _) = crew.settled().await;
        assert_eq!(now, processes, "processes after lap {number}");
    }
    // A connection that nobody uses is closed a little later, and memory that nobody uses given back. What has leaked stays.
    let pid = crew.server.pid();
    let most =
        Open { connections: descriptors.connections + DESCRIPTORS, others: descriptors.others + DESCRIPTORS };
    until(&format!("no more descriptors than {most:?}"), async || {
        let now = crew.open();
        now.connections <= most.connections && now.others <= most.others
    })
    .await;
    until(&format!("no more than {MEBIBYTES} MiB beyond {memory} bytes"), async || {
        resident(pid) <= memory + (MEBIBYTES << 20)
    })
    .await;
    crew.server.terminate().await;
    crew.server.assert_nothing_left().await;
}

impl Crew {
    async fn lap(&self, number: usize) {
        let callers =
            self.calm.iter().flat_map(|own| (0..CALLERS).map(move |caller| called(own, caller, CALLS)));
        let calls = async {
            join_all(callers).await;
            Ok::<_, ()>(())
        };
        let rest = async {
            tokio::join!(self.opened(), self.saved(number), self.switched(), self.was_killed());
            Ok(())
        };
        try_join(calls, rest).await.expect("both parts of a lap");
    }

    /// Sessions that are opened and left.
    async fn opened(&self) {
        for _ in 0..SESSIONS {
            self.calm[0].mcp().open().await;
        }
    }

    /// New settings of a plugin, with calls of it in between.
    async fn saved(&self, lap: usize) {
        let organization = &self.calm[1];
        for save in 0..SAVES {
            let n = lap * SAVES + save + 1;
            let body = json!({ "config": { "n": n } });
            organization.put(&format!("plugins/{COUNTING}"), &body).await.expect(200);
            let told = text_of(organization.call_tool("counting__n", json!({})).await);
            assert_eq!(told, n.to_string(), "a call after the save");
        }
    }

    async fn switched(&self) {
        for _ in 0..SWITCHES {
            let detail = self.switched.enable(ECHO, json!({})).await;
            assert_eq!(detail["state"], "ready", "{detail:#}");
            self.switched.put(&format!("plugins/{ECHO}"), &json!({ "enabled": false })).await.expect(200);
        }
    }

    /// Its worker is killed; a person has it started again, so that it is never held back.
    async fn was_killed(&self) {
        for _ in 0..KILLS {
            for worker in
                self.workers().await.iter().filter(|worker| worker["org"] == self.killed.id.as_str())
            {
                let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                if let Some(process) = pid.and_then(Process::find) {
                    process.signal(Signal::KILL);
                }
            }
            self.killed.post(&format!("plugins/{ECHO}/restart"), &json!({})).await.expect(200);
            called(&self.killed, 0, CALLS_AFTER_KILL).await;
        }
    }

    async fn workers(&self) -> Vec<Value> {
        let listed = self.server.admin().get("/v1/workers").await.expect(200).json();
        listed["workers"].as_array().expect("a list of workers").clone()
    }

    /// How many processes there are, open descriptors, and bytes of memory, once only those run that should: two plugins of
    /// each calm organization and the one that was killed.
    async fn settled(&self) -> (usize, Open, u64) {
        until("the workers that should be there, and no other", async || {
            let workers = self.workers().await;
            workers.len() == 5 && workers.iter().all(|worker| worker["state"] == "ready")
        })
        .await;
        // Each has its own first process of the jail, or none has.
        let processes = async || self.server.processes().len();
        until("no process of a worker that is gone", async || processes().await <= 10).await;
        (processes().await, self.open(), resident(self.server.pid()))
    }

    fn open(&self) -> Open {
        let pid = self.server.pid();
        let url = self.server.url();
        let port: u16 = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        // Each line has its own address as `ADDRESS:PORT` in hexadecimal digits, and its inode as the tenth word.
        let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("the server runs");
        let own: HashSet<PathBuf> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.len() > 9 && words[1].ends_with(&format!(":{port:04X}")))
            .map(|words| PathBuf::from(format!("socket:[{}]", words[9])))
            .collect();
        let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("the server runs");
        // One that is closed meanwhile leads nowhere.
        let open: Vec<_> = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        let connections = open.iter().filter(|target| own.contains(*target)).count();
        Open { connections, others: open.len() - connections }
    }
}

/// Calls that are told apart by what they say.
async fn called(organization: &Organization, caller: usize, calls: usize) {
    for call in 0..calls {
        let word = format!("{caller}-{call}-{}", organization.id);
        let answer = organization.call_tool("echo__say", json!({ "word": word })).await;
        assert_eq!(text_of(answer), word);
    }
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches("kB").trim_end().parse::<u64>().expect("a number") << 10
}
