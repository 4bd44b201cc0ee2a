//! 2025-03-26: Streamable HTTP arrives, and with it batches, for this one revision.

use super::{Batches, Clients, Introduction, Rules, VersionHeader};

pub(super) const RULES: Rules = Rules {
    name: "2025-03-26",
    clients: Clients::NotServed,
    batches: Batches::Read,
    introduction: Introduction::Named,
    version_header: VersionHeader::Unknown,
};
