//! 2025-06-18: batches are gone, the revision is named in a header, titles and structured results arrive.

use super::{Batches, Clients, Introduction, Rules, VersionHeader};

pub(super) const RULES: Rules = Rules {
    name: "2025-06-18",
    clients: Clients::Served,
    batches: Batches::Refused,
    introduction: Introduction::Titled,
    version_header: VersionHeader::Sent,
};
