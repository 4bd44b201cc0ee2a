//! Facts on their way out: what a transaction left in the outbox is told, once, in order, and then struck off.
//!
//! Whoever runs Hayloft reads them in the log, under the target `hayloft::events`.

use std::time::Duration;

use hayloft_store::outbox::OutboxEvent;
use hayloft_store::{DatabaseError, Store};

/// How many facts are told before they are struck off together.
const BATCH: u64 = 256;

/// The first pause after a failure of the store, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Tells facts until it is aborted. A fact that was told and not yet struck off when the host ends is told again: at
/// least once, never not at all.
pub(crate) async fn run(store: Store) {
    let mut appended = store.outbox().watch();
    let mut pause = PAUSES.0;
    loop {
        match tell_batch(&store).await {
            Ok(0) => {
                pause = PAUSES.0;
                if appended.changed().await.is_err() {
                    return;
                }
            }
            Ok(_) => pause = PAUSES.0,
            Err(error) => {
                tracing::error!(%error, seconds = pause.as_secs(), "failed to tell the facts of the outbox; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Tells what waits, and gives how much that was.
async fn tell_batch(store: &Store) -> Result<usize, DatabaseError> {
    let facts = store.outbox().take(BATCH).await?;
    facts.iter().for_each(tell);
    let told: Vec<i64> = facts.iter().map(|fact| fact.id).collect();
    if !told.is_empty() {
        store.outbox().mark_sent(&told).await?;
    }
    Ok(told.len())
}

fn tell(fact: &OutboxEvent) {
    tracing::info!(
        target: "hayloft::events",
        id = fact.id,
        organization = %fact.organization,
        at = %fact.created_at,
        payload = %fact.payload,
        "{}",
        fact.topic
    );
}
