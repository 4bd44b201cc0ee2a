//! A process that is killed at any moment loses nothing that it said was done, and holds nothing it had locked.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hayloft_model::Revision;
use hayloft_store::audit::Page;
use hayloft_store::journal::{Journal, JournalOptions};
use hayloft_store::{DataDir, DataDirError, MasterKey, Options, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{ADMINISTRATOR, FakeClock, Random, configuration, key, organization};

/// Tells the test below that it is the process that will be killed, and where it is to work.
const FOLDER: &str = "HAYLOFT_STORE_CRASH_TEST_FOLDER";

async fn open(folder: &DataDir) -> (Store, Journal) {
    let store = Store::open(Options {
        url: format!("sqlite:{}", folder.database().display()),
        master_key: MasterKey::load_or_create(&folder.master_key(), &Random).unwrap(),
        clock: Arc::new(FakeClock::new()),
        entropy: Arc::new(Random),
    })
    .await
    .unwrap();
    let (journal, _) = Journal::open(JournalOptions {
        folder: folder.journal(),
        store: store.clone(),
        replay_every: Duration::from_millis(5),
        capacity: 64,
    })
    .await
    .unwrap();
    (store, journal)
}

/// The body of the process that is killed. Without its variable it is no process to be killed, and does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent says that this is the child")]
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = DataDir::lock(Path::new(&folder)).unwrap();
    let (store, journal) = open(&folder).await;
    let acme = organization(&store, "Acme").await;
    say(&format!("organization {}", acme.id));
    let mail = key(acme.id, "mail");
    for number in 1_u32.. {
        let call = journal.append(crate::journal::record(acme.id, &number.to_string()));
        call.await.unwrap();
        say(&format!("call {number}"));
        let save = store
            .configurations()
            .save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(configuration(json!({ "number": number }))));
        let saved = save.await.unwrap();
        assert_eq!(saved.configuration.revision, Revision(number));
        say(&format!("saved {number}"));
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "crash-test {text}").unwrap();
    out.flush().unwrap();
}

fn start_child(folder: &Path) -> Child {
    #[expect(
        clippy::disallowed_methods,
        reason = "the process that is to be killed is this test program itself"
    )]
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::a_process_that_writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_reads_back_after_a_kill() {
    for lines_before_the_kill in [1, 2, 3, 4, 7, 12, 25, 60] {
        let folder = TempDir::new().unwrap();
        let mut child = start_child(folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut acme, mut call, mut saved) = (None, 0_u32, 0_u32);
        let mut seen = 0;
        for line in &mut lines {
            let line = line.unwrap();
            let Some((_, said)) = line.split_once("crash-test ") else { continue };
            match said.split_once(' ').unwrap() {
                ("organization", id) => acme = Some(id.parse().unwrap()),
                ("call", number) => call = number.parse().unwrap(),
                ("saved", number) => saved = number.parse().unwrap(),
                other => panic!("{other:?}"),
            }
            seen += 1;
            if seen == lines_before_the_kill {
                // While it lives, nobody else gets the folder.
                let refused = DataDir::lock(folder.path()).unwrap_err();
                assert!(
                    matches!(&refused, DataDirError::InUse { pid: Some(pid), .. } if *pid == child.id()),
                    "{refused:?}"
                );
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let locked = DataDir::lock(folder.path()).unwrap();
        let (store, journal) = open(&locked).await;
        let acme = acme.unwrap();
        let mail = key(acme, "mail");
        let latest = store.configurations().latest(&mail).await.unwrap();
        let revision = latest.as_ref().map_or(0, |latest| latest.revision.0);
        // One more may have been committed without its word reaching us.
        assert!(revision == saved || revision == saved + 1, "{saved} acknowledged, {revision} found");
        for number in 1..=revision {
            let kept = store.configurations().load(&mail, Revision(number)).await.unwrap().unwrap();
            assert_eq!(kept.values.get("number"), Some(&json!(number)));
        }
        assert_eq!(store.outbox().take(1000).await.unwrap().len(), revision as usize);
        journal.replay().await.unwrap();
        let calls = store.calls().list(acme, Page { before: None, limit: 10_000 }).await.unwrap();
        let mut names: Vec<u32> = calls.iter().map(|call| call.record.name.parse().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, (1..=names.len() as u32).collect::<Vec<_>>(), "each call once");
        assert!(names.len() as u32 >= call, "{call} acknowledged, {} found", names.len());
        let usage: u64 = store.calls().usage(acme, "").await.unwrap().iter().map(|usage| usage.calls).sum();
        assert_eq!(usage, names.len() as u64);
    }
}
