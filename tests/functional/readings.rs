//! What did not change in the folders of plugins is not read again, however often something else changes.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use hayloft_testkit::{Organization, PluginFiles, PluginFolder, TestServer};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use serde_json::json;

use crate::support::until;
use crate::uploads::{packed, upload, versioned};

const SHARED: &str = "hay-plugin-shared";
const MINE: &str = "hay-plugin-mine";
const THEIRS: &str = "hay-plugin-theirs";

/// Counts how often somebody read from a file: the kernel tells.
struct Reads(OwnedFd);

impl Reads {
    fn of(file: &Path) -> Self {
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        add_watch(&watch, file, WatchFlags::ACCESS).unwrap();
        Self(watch)
    }

    /// Since it was asked last.
    fn take(&self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.0, &mut buffer);
        let mut count = 0;
        loop {
            match reader.next() {
                Ok(_) => count += 1,
                Err(Errno::WOULDBLOCK) => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn shared(files: PluginFiles, version: u32) -> PluginFiles {
    files.file("index.js", "export default () => ({ name: 'shared' });").manifest(&json!({
        "name": SHARED, "version": format!("{version}.0.0"), "type": "module",
        "hay-plugin": { "entry": "./index.js", "displayName": "S", "category": "tool", "capabilities": [], "env": [] },
    }))
}

/// Changes what is everybody's, and waits until that is seen: by then all folders were looked at.
async fn look_anew(folder: &PluginFolder, made: &PluginFolder, of: &Organization, version: &mut u32) {
    *version += 1;
    let name = format!("shared-{version}");
    shared(made.plugin(&name), *version);
    // One folder in the place of another, so that nobody sees half of it.
    let place = folder.path().join("shared");
    fs::rename(&place, made.path().join(format!("old-{version}"))).unwrap();
    fs::rename(made.path().join(name), &place).unwrap();
    let wanted = format!("{version}.0.0");
    until("the next version", async || {
        let answer = of.get(&format!("plugins/{SHARED}")).await;
        answer.status == 200 && answer.json()["version"] == wanted
    })
    .await;
}

#[tokio::test]
async fn nobody_reads_what_others_have_when_a_plugin_comes_or_goes() {
    let (folder, made) = (PluginFolder::new(), PluginFolder::new());
    shared(folder.plugin("shared"), 0);
    let server = TestServer::start(folder.path()).await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    let theirs = packed(&versioned(&made, THEIRS, "1.0.0", "").file("data.bin", vec![7; 100_000]));
    upload(&other, &theirs).await.expect(201);
    let place = server.data_folder().join("plugins/custom").join(&other.id).join(THEIRS);
    let reads = Reads::of(&place.join("data.bin"));

    // What changed a moment ago is read again, since it might have changed in the same moment.
    let mut version = 0;
    until("a look at all folders that reads nothing", async || {
        reads.take();
        look_anew(&folder, &made, &acme, &mut version).await;
        reads.take() == 0
    })
    .await;

    let mine = packed(&versioned(&made, MINE, "1.0.0", ""));
    upload(&acme, &mine).await.expect(201);
    let newer = packed(&versioned(&made, MINE, "2.0.0", ""));
    upload(&acme, &newer).await.expect(201);
    acme.delete(&format!("plugins/{MINE}/installation")).await.expect(204);
    look_anew(&folder, &made, &acme, &mut version).await;
    assert_eq!(reads.take(), 0, "an upload, an upgrade and a removal by somebody else");

    // What did change is read, however it is hidden.
    let file = place.join("data.bin");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, vec![8; 100_000]).unwrap();
    let written = fs::File::options().write(true).open(&file).unwrap();
    written.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    until("the change", async || reads.take() > 0).await;
}
