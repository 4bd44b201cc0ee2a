//! 2024-11-05: the first published revision. Its HTTP transport is SSE with a separate message address, which clients are not offered.

use super::{Batches, Clients, Introduction, Rules, VersionHeader};

pub(super) const RULES: Rules = Rules {
    name: "2024-11-05",
    clients: Clients::NotServed,
    batches: Batches::Refused,
    introduction: Introduction::Named,
    version_header: VersionHeader::Unknown,
};
