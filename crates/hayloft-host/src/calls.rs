//! Taking calls down, beside the call and never in its way.

use hayloft_store::calls::CallRecord;

use crate::Host;

impl Host {
    /// Hands a call to the journal, which writes it a moment later, together with all that came meanwhile. When the
    /// journal has no room, as on a disk that hangs, the call is counted as not taken down rather than held up.
    pub(crate) fn take_down(&self, record: CallRecord) {
        if let Err(error) = self.journal.record(record) {
            metrics::counter!("hayloft_calls_not_taken_down_total").increment(1);
            tracing::error!(%error, "a call was not taken down");
        }
    }
}
