//! Who uses more memory than it may ends, alone, and is told why.

use hayloft_workers::{HookCall, HookError, Resources};
use serde_json::json;

use crate::support::{House, SOON};

/// Takes memory for ever, in four ways.
const GREEDY: &str = "
    const fs = require('node:fs');
    const kept = [];
    const forever = (take) => { for (;;) kept.push(take()); };
    const ways = {
      heap: () => forever(() => new Array(1e5).fill(0).map((_, n) => ({ n }))),
      buffers: () => forever(() => Buffer.alloc(8 << 20, 1)),
      shared: () => forever(() => new Uint8Array(new SharedArrayBuffer(8 << 20)).fill(1)),
      files: () => forever(() => fs.appendFileSync(require('node:os').tmpdir() + '/big', Buffer.alloc(8 << 20, 1))),
    };
    exports.cron = (w, way) => ways[way]();";

#[tokio::test]
async fn who_uses_too_much_memory_ends_alone_and_is_told() {
    let house = House::with(|settings| {
        settings.resources =
            Resources { old_space_mib: 64, memory: 256 << 20, temporary: 1 << 30, ..Resources::default() };
    });
    let neighbour = house.plugin_named("hay-plugin-neighbour", "exports.enable = () => ({ fine: true });");
    let other = house.workers.ensure(&neighbour).await.unwrap();
    for way in ["heap", "buffers", "shared", "files"] {
        // Where it has no root of its own its files are on a disk, and no memory.
        if way == "files" && !house.has_namespaces() {
            continue;
        }
        let instance = house.plugin_named(&format!("hay-plugin-{way}"), GREEDY);
        let worker = house.workers.ensure(&instance).await.unwrap();
        let answer = tokio::time::timeout(SOON, worker.call_hook(HookCall::Cron(way.into()))).await.unwrap();
        let Err(HookError::WorkerGone { reason }) = answer else { panic!("{way}: {answer:?}") };
        assert!(reason.contains("it ended with out of memory"), "{way}: {reason}");
        assert_eq!(other.call_hook(HookCall::Enable).await, Ok(json!({ "fine": true })));
    }
    house.close().await;
}

#[tokio::test]
async fn an_abort_for_another_reason_is_an_abort() {
    let house = House::new();
    let instance = house.plugin("exports.enable = () => process.abort();");
    let worker = house.workers.ensure(&instance).await.unwrap();
    let Err(HookError::WorkerGone { reason }) = worker.call_hook(HookCall::Enable).await else {
        panic!("it goes on")
    };
    assert!(reason.contains("signal 6 (SIGABRT)"), "{reason}");
    house.close().await;
}
