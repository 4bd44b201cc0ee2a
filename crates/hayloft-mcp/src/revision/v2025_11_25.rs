//! 2025-11-25: parties may describe themselves; tasks and icons arrive as members that pass through.

use super::{Batches, Clients, Introduction, Rules, VersionHeader};

pub(super) const RULES: Rules = Rules {
    name: "2025-11-25",
    clients: Clients::Served,
    batches: Batches::Refused,
    introduction: Introduction::Described,
    version_header: VersionHeader::Sent,
};
