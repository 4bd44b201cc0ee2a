//! Bounds on what the outside may send and hold.

use std::time::Duration;

/// The bounds. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// The largest body of a request.
    pub request_body: usize,
    /// The largest archive of a plugin that is uploaded.
    pub upload: usize,
    /// How long the head of a request may take, which is also how long an idle connection is kept.
    pub request_head_time: Duration,
    /// How long a streamed body may pause.
    pub request_body_pause: Duration,
    /// How many connections may be open at once.
    pub connections: usize,
    /// How many of them one address may hold.
    pub connections_per_address: usize,
    /// How long requests in flight may take to end once the server stops.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            request_body: 10 << 20,
            upload: 64 << 20,
            request_head_time: Duration::from_secs(30),
            request_body_pause: Duration::from_secs(30),
            connections: 10_000,
            connections_per_address: 2_000,
            drain: Duration::from_secs(10),
        }
    }
}
