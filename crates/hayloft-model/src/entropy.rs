//! The port to chance. Ids, tokens and nonces are drawn from the source that was handed in.

use uuid::Uuid;

use crate::Clock;

/// A source of random bytes fit for keys.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the whole slice.
    fn fill(&self, bytes: &mut [u8]);
}

/// A new id that sorts by the time of its making (UUID version 7, RFC 9562 section 5.7).
pub fn sortable_id(clock: &dyn Clock, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let milliseconds = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}
