//! What is to be cleared away while a host runs, and that nobody waits for.

use std::time::Duration;

use hayloft_store::Store;
use tokio::time::{MissedTickBehavior, interval};

/// How often. What has come to its end is not given out meanwhile, so this is about room alone.
const PERIOD: Duration = Duration::from_secs(600);

/// Clears away at once and then again and again, until it is aborted.
pub(crate) async fn run(store: Store) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.plugin_values().sweep().await {
            Ok(swept) => tracing::debug!(swept, "cleared away values whose time is over"),
            Err(error) => tracing::error!(%error, "failed to clear away values whose time is over"),
        }
    }
}
