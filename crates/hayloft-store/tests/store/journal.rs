//! Calls survive whatever happens between the file and the database, and count once.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hayloft_model::OrganizationId;
use hayloft_store::audit::Page;
use hayloft_store::calls::{CallKind, CallOutcome, CallRecord};
use hayloft_store::journal::{Journal, JournalError, JournalOptions, Replayed};
use hayloft_store::{DatabaseError, Store};
use uuid::Uuid;

use crate::backend::{Backend, Sqlite};
use crate::support::organization;

pub(crate) fn some_organization() -> OrganizationId {
    OrganizationId::from_uuid(Uuid::from_u128(5))
}

pub(crate) fn record(organization: OrganizationId, name: &str) -> CallRecord {
    CallRecord {
        organization,
        plugin: "mail".parse().unwrap(),
        kind: CallKind::Tool,
        server: Some("main".parse().unwrap()),
        name: name.to_owned(),
        caller: String::from("administrator"),
        at: DateTime::<Utc>::from_timestamp_millis(1_795_000_000_123).unwrap(),
        duration: Duration::from_micros(1500),
        outcome: CallOutcome::Done,
        reason: None,
    }
}

fn options(backend: &Sqlite) -> JournalOptions {
    JournalOptions {
        folder: backend.folder().join("journal"),
        store: backend.store().clone(),
        // Far away: the tests say when.
        replay_every: Duration::from_secs(3600),
        capacity: 1024,
    }
}

async fn names(store: &Store, organization: OrganizationId) -> Vec<String> {
    let calls = store.calls().list(organization, Page { before: None, limit: 10_000 }).await.unwrap();
    calls.into_iter().rev().map(|call| call.record.name).collect()
}

async fn counted(store: &Store, organization: OrganizationId) -> u64 {
    store.calls().usage(organization, "").await.unwrap().iter().map(|usage| usage.calls).sum()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn calls_are_taken_down_and_replayed() {
    let backend = Sqlite::fresh().await;
    let store = backend.store();
    let acme = organization(store, "Acme").await.id;
    let other = organization(store, "Other").await.id;
    let (journal, found) = Journal::open(options(&backend)).await.unwrap();
    assert_eq!(found, Replayed::default());
    let mut route = record(acme, "POST /hook/:id");
    route.kind = CallKind::Route;
    route.server = None;
    route.caller = String::from("public");
    route.outcome = CallOutcome::PluginBroke;
    route.reason = Some(String::from("timeout"));
    for record in [record(acme, "send"), record(acme, "send\nforged \u{2028} line"), route.clone()] {
        journal.append(record).await.unwrap();
    }
    journal.record(record(other, "list")).unwrap();
    assert_eq!(names(store, acme).await, Vec::<String>::new());
    assert_eq!(journal.replay().await.unwrap(), Replayed { calls: 4, damaged: 0 });
    assert_eq!(journal.replay().await.unwrap(), Replayed::default());

    let calls = store.calls().list(acme, Page { before: None, limit: 1 }).await.unwrap();
    assert_eq!(calls[0].record, route);
    let older = store.calls().list(acme, Page { before: Some(calls[0].id), limit: 9 }).await.unwrap();
    assert_eq!(older.len(), 2);
    assert_eq!(names(store, other).await, ["list"]);
    let usage = store.calls().usage(acme, "2026-11-18").await.unwrap();
    let lines: Vec<_> = usage
        .iter()
        .map(|usage| {
            (usage.kind, usage.name.as_str(), usage.calls, usage.failures, usage.duration.as_micros())
        })
        .collect();
    assert_eq!(
        lines,
        [
            (CallKind::Route, "POST /hook/:id", 1, 1, 1500),
            (CallKind::Tool, "send", 1, 0, 1500),
            (CallKind::Tool, "send\nforged \u{2028} line", 1, 0, 1500),
        ]
    );
    assert_eq!(store.calls().usage(acme, "2026-11-19").await.unwrap(), []);

    journal.append(record(acme, "send")).await.unwrap();
    assert_eq!(journal.close().await.unwrap().calls, 1);
    assert_eq!(counted(store, acme).await, 4);
    assert_eq!(segments(&backend.folder().join("journal")), Vec::<PathBuf>::new());
    assert!(matches!(journal.append(record(acme, "late")).await, Err(JournalError::Closed)));
    assert!(matches!(journal.record(record(acme, "late")), Err(JournalError::Closed)));

    // Single calls are forgotten, sums are not.
    store.calls().forget_before(record(acme, "").at + chrono::TimeDelta::milliseconds(1)).await.unwrap();
    assert_eq!(names(store, acme).await, Vec::<String>::new());
    assert_eq!(counted(store, acme).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_come_together_are_all_there() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await.id;
    let (journal, _) = Journal::open(JournalOptions { capacity: 4, ..options(&backend) }).await.unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for call in 0..64 {
                    journal.append(record(acme, &format!("{task}/{call}"))).await.unwrap();
                }
            })
        })
        .collect();
    // Sealing in the middle loses nothing and doubles nothing.
    let mut replayed = 0;
    for task in tasks {
        replayed += journal.replay().await.unwrap().calls;
        task.await.unwrap();
    }
    replayed += journal.close().await.unwrap().calls;
    let mut names = names(backend.store(), acme).await;
    names.sort();
    names.dedup();
    assert_eq!((replayed, names.len(), counted(backend.store(), acme).await), (2048, 2048, 2048));
}

#[tokio::test]
async fn a_torn_tail_and_damaged_lines_are_left_out() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await.id;
    let line = |name| serde_json::to_string(&record(acme, name)).unwrap();
    let whole = format!("{}\n{}\n", line("a"), line("b"));
    let folder = backend.folder().join("journal");
    fs::create_dir(&folder).unwrap();
    // Every place where a write can be cut off.
    for cut in (0..whole.len()).step_by(7).chain([whole.len()]) {
        let name = format!("{cut:032x}.open");
        fs::write(folder.join(&name), &whole[..cut]).unwrap();
        let (journal, found) = Journal::open(options(&backend)).await.unwrap();
        let ends = whole[..cut].matches('\n').count() as u64;
        let torn = u64::from(!whole[..cut].is_empty() && !whole[..cut].ends_with('\n'));
        assert_eq!(found, Replayed { calls: ends, damaged: torn }, "cut at {cut}");
        // What comes next does not grow onto the torn line.
        journal.append(record(acme, "next")).await.unwrap();
        assert_eq!(journal.close().await.unwrap(), Replayed { calls: 1, damaged: 0 });
    }
    let damaged = format!("{}\nnot json\n\0\0\0\0\n{{}}\n{}\n", line("x"), line("y"));
    fs::write(folder.join(format!("{:032x}.sealed", 1 << 20)), damaged).unwrap();
    let (_journal, found) = Journal::open(options(&backend)).await.unwrap();
    assert_eq!(found, Replayed { calls: 2, damaged: 3 });
}

#[tokio::test]
async fn a_segment_that_is_replayed_again_counts_once() {
    let backend = Sqlite::fresh().await;
    let store = backend.store();
    let acme = organization(store, "Acme").await.id;
    let folder = backend.folder().join("journal");
    let (journal, _) = Journal::open(options(&backend)).await.unwrap();
    for number in 0..700 {
        journal.append(record(acme, &number.to_string())).await.unwrap();
    }
    let segment = segments(&folder).remove(0);
    let bytes = fs::read(&segment).unwrap();
    journal.close().await.unwrap();
    assert_eq!(counted(store, acme).await, 700);

    // Killed after the rows were committed and before the file was removed.
    fs::write(&segment, &bytes).unwrap();
    let (journal, found) = Journal::open(options(&backend)).await.unwrap();
    assert_eq!((found, counted(store, acme).await), (Replayed::default(), 700));
    journal.close().await.unwrap();

    // Killed between two chunks of one segment: the rest follows.
    backend.sql("update journal_segments set lines = 500").await;
    backend.sql("delete from calls where id > 500").await;
    fs::write(&segment, &bytes).unwrap();
    let (journal, found) = Journal::open(options(&backend)).await.unwrap();
    assert_eq!((found.calls, names(store, acme).await.len()), (200, 700));
    journal.close().await.unwrap();
}

#[tokio::test]
async fn the_journal_replays_on_its_own() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await.id;
    let soon = JournalOptions { replay_every: Duration::from_millis(20), ..options(&backend) };
    let (journal, _) = Journal::open(soon).await.unwrap();
    for round in 1..=3 {
        journal.append(record(acme, "send")).await.unwrap();
        while counted(backend.store(), acme).await < round {
            tokio::task::yield_now().await;
        }
    }
}

/// What cannot be brought into the database stays in the file until it can.
#[tokio::test]
async fn a_failing_database_loses_nothing() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await.id;
    let (journal, _) = Journal::open(options(&backend)).await.unwrap();
    journal.append(record(acme, "a")).await.unwrap();
    backend.sql("alter table usage rename to elsewhere").await;
    let failed = journal.replay().await.unwrap_err();
    assert!(matches!(failed, JournalError::Database(DatabaseError::Failed { .. })), "{failed:?}");
    journal.append(record(acme, "b")).await.unwrap();
    backend.sql("alter table elsewhere rename to usage").await;
    assert_eq!(journal.replay().await.unwrap().calls, 2);
    assert_eq!(names(backend.store(), acme).await, ["a", "b"]);
    assert_eq!(counted(backend.store(), acme).await, 2);
}

/// A call about an organization that is unknown here does not hold up the others.
#[tokio::test]
async fn a_stranger_does_not_jam_the_journal() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await.id;
    let (journal, _) = Journal::open(options(&backend)).await.unwrap();
    journal.append(record(some_organization(), "a")).await.unwrap();
    journal.append(record(acme, "b")).await.unwrap();
    assert_eq!(journal.replay().await.unwrap().calls, 2);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_said() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await.id;
    let folder = backend.folder().join("journal");
    let (journal, _) = Journal::open(options(&backend)).await.unwrap();
    fs::remove_dir(&folder).unwrap();
    OpenOptions::new().write(true).create_new(true).open(&folder).unwrap().write_all(b"in the way").unwrap();
    let failed = journal.append(record(acme, "a")).await.unwrap_err();
    assert!(matches!(failed, JournalError::File { .. }), "{failed:?}");
    // And mended without a restart.
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    journal.append(record(acme, "b")).await.unwrap();
    assert_eq!(journal.close().await.unwrap().calls, 1);
    assert_eq!(names(backend.store(), acme).await, ["b"]);
}
