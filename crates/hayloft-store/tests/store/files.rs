//! What lies on the disk: who may read it, and what is not in it.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hayloft_model::{Entropy, Role};
use hayloft_store::configurations::NewConfiguration;
use hayloft_store::instances::InstanceChange;
use hayloft_store::journal::{Journal, JournalOptions};
use hayloft_store::{DataDir, DataDirError, MasterKey, MasterKeyError, Store};
use serde_json::json;
use tempfile::TempDir;

use crate::backend::{Backend, Sqlite};
use crate::support::{
    ADMINISTRATOR, Constant, FakeClock, Random, credentials, key, options, organization, values,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn everything_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(everything_in(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn only_the_owner_may_look_at_anything() {
    let parent = TempDir::new().unwrap();
    set_mode(parent.path(), 0o755);
    let folder = DataDir::lock(&parent.path().join("data")).unwrap();
    let master_key = MasterKey::load_or_create(&folder.master_key(), &Random).unwrap();
    let url = format!("sqlite:{}", folder.database().display());
    let store = Store::open(options(url, master_key, &FakeClock::new())).await.unwrap();
    organization(&store, "Acme").await;
    let (journal, _) = Journal::open(JournalOptions {
        folder: folder.journal(),
        store,
        replay_every: Duration::from_secs(3600),
        capacity: 8,
    })
    .await
    .unwrap();
    journal.append(crate::journal::record(crate::journal::some_organization(), "a")).await.unwrap();
    let found = everything_in(folder.path());
    let names: Vec<_> =
        found.iter().filter_map(|path| path.file_name().and_then(|name| name.to_str())).collect();
    for name in ["data", "lock", "master-key", "hayloft.db", "hayloft.db-wal", "hayloft.db-shm", "journal"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert_eq!(names.len(), 8, "a segment of the journal and nothing else: {names:?}");
    for path in found {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[tokio::test]
async fn files_that_others_could_read_are_closed() {
    let backend = Sqlite::fresh().await;
    organization(backend.store(), "Acme").await;
    let files = ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm"].map(|name| backend.folder().join(name));
    for file in &files {
        set_mode(file, 0o644);
    }
    backend.another(std::sync::Arc::new(Random)).await;
    assert_eq!(files.map(|file| mode(&file)), [0o600; 3]);
}

#[tokio::test]
async fn no_secret_lies_open_on_the_disk() {
    let backend = Sqlite::fresh().await;
    let acme = organization(backend.store(), "Acme").await;
    let (_, token) =
        backend.store().tokens().create(acme.id, Role::Admin, None, &ADMINISTRATOR).await.unwrap();
    let new = NewConfiguration {
        values: values(json!({ "apiKey": "canary-value" })),
        credentials: credentials("key", json!({ "password": "canary-credential" })),
        instance: InstanceChange::new(),
    };
    let mail = key(acme.id, "control-plugin");
    backend.store().configurations().save(&mail, &ADMINISTRATOR, |_| Ok::<_, ()>(new)).await.unwrap();
    let mut bytes = Vec::new();
    for path in everything_in(&backend.folder()).iter().filter(|path| path.is_file()) {
        bytes.extend(fs::read(path).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("control-plugin"), "the control: what is no secret is found");
    for secret in ["canary-value", "canary-credential", &token.expose()[4..]] {
        assert!(!holds(secret), "{secret}");
    }
}

#[test]
fn the_master_key_is_made_once_and_never_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("master-key");
    MasterKey::load_or_create(&path, &Random).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!((bytes.len(), mode(&path)), (32, 0o600));
    let again = MasterKey::load_or_create(&path, &Constant(1)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let shown = format!("{again:?}");
    assert!(!shown.contains(&format!("{}, {}", bytes[0], bytes[1])), "{shown}");
    assert_eq!(everything_in(folder.path()).len(), 2, "no draft is left");
}

#[test]
fn a_master_key_that_is_not_right_is_refused_and_left_alone() {
    type Check = fn(&MasterKeyError) -> bool;
    let cases: [(&str, &[u8], u32, Check); 6] = [
        ("readable by the group", &[1; 32], 0o640, |error| {
            matches!(error, MasterKeyError::TooOpen { mode: 0o640, .. })
        }),
        ("readable by all", &[1; 32], 0o604, |error| matches!(error, MasterKeyError::TooOpen { .. })),
        ("writable by all", &[1; 32], 0o602, |error| matches!(error, MasterKeyError::TooOpen { .. })),
        ("empty", &[], 0o600, |error| matches!(error, MasterKeyError::Length { length: 0, .. })),
        ("short", &[1; 31], 0o600, |error| matches!(error, MasterKeyError::Length { length: 31, .. })),
        ("long", &[1; 4000], 0o600, |error| matches!(error, MasterKeyError::Length { length: 33, .. })),
    ];
    for (what, bytes, file_mode, expected) in cases {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("master-key");
        fs::write(&path, bytes).unwrap();
        set_mode(&path, file_mode);
        let refused = MasterKey::load_or_create(&path, &Random).unwrap_err();
        assert!(expected(&refused), "{what}: {refused:?}");
        assert!(refused.to_string().contains("master-key") && refused.hint().is_some(), "{what}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
    }
    let folder = TempDir::new().unwrap();
    let refused = MasterKey::load_or_create(folder.path(), &Random).unwrap_err();
    assert!(matches!(refused, MasterKeyError::NotAFile { .. }), "{refused:?}");
    let refused = MasterKey::load_or_create(&folder.path().join("missing/key"), &Random).unwrap_err();
    assert!(matches!(refused, MasterKeyError::Create { .. }), "{refused:?}");
}

/// Everybody who starts at the same moment ends up with the same key.
#[test]
fn the_master_key_is_made_by_one() {
    struct Own(u8);
    impl Entropy for Own {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }
    for _ in 0..20 {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("master-key");
        let barrier = std::sync::Barrier::new(8);
        let keys: HashSet<String> = std::thread::scope(|scope| {
            let start = |number| {
                let (path, barrier) = (&path, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    MasterKey::load_or_create(path, &Own(number)).unwrap().fingerprint()
                })
            };
            let threads: Vec<_> = (0..8).map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let found = MasterKey::load(&path).unwrap().fingerprint();
        assert_eq!(keys, HashSet::from([found]));
        assert_eq!(everything_in(folder.path()).len(), 2);
    }
}

#[test]
fn the_data_folder_belongs_to_one_process() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("data");
    let held = DataDir::lock(&path).unwrap();
    for same in [path.clone(), path.join("."), parent.path().join("data/../data")] {
        let refused = DataDir::lock(&same).unwrap_err();
        assert!(
            matches!(&refused, DataDirError::InUse { pid: Some(pid), .. } if *pid == std::process::id()),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(&format!("the process {}", std::process::id())), "{refused}");
        assert!(refused.hint().is_some());
    }
    // A child that the holder started does not keep the lock beyond its parent's hold.
    #[expect(clippy::disallowed_methods, reason = "a test needs a child that outlives the lock")]
    let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
    drop(held);
    let again = DataDir::lock(&path);
    child.kill().unwrap();
    child.wait().unwrap();
    again.unwrap();
}

#[test]
fn a_folder_that_is_not_ours_keeps_its_mode() {
    let parent = TempDir::new().unwrap();
    let with = |name: &str, folder_mode: u32, file: Option<&str>| {
        let path = parent.path().join(name);
        fs::create_dir(&path).unwrap();
        if let Some(file) = file {
            fs::write(path.join(file), "").unwrap();
        }
        set_mode(&path, folder_mode);
        path
    };
    let empty = with("empty", 0o755, None);
    DataDir::lock(&empty).unwrap();
    assert_eq!(mode(&empty), 0o700);
    let ours = with("ours", 0o777, Some("lock"));
    DataDir::lock(&ours).unwrap();
    assert_eq!(mode(&ours), 0o700);
    let home = with("home", 0o755, Some("letter.txt"));
    DataDir::lock(&home).unwrap();
    assert_eq!(mode(&home), 0o755);
    let shared = with("shared", 0o777, Some("letter.txt"));
    let refused = DataDir::lock(&shared).unwrap_err();
    assert!(matches!(refused, DataDirError::TooOpen { mode: 0o777, .. }), "{refused:?}");
    assert_eq!((mode(&shared), shared.join("lock").exists()), (0o777, false));
    // A file where a folder should be, or below it, is told as what it is.
    for path in ["home/letter.txt", "home/letter.txt/data"] {
        let refused = DataDir::lock(&parent.path().join(path)).unwrap_err();
        assert!(refused.hint().is_some_and(|hint| hint.contains("a file is in the way")), "{refused:?}");
    }
    let linked = parent.path().join("linked");
    symlink(&ours, &linked).unwrap();
    assert_eq!(DataDir::lock(&linked).unwrap().path(), fs::canonicalize(&ours).unwrap());
}
