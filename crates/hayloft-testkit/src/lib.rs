//! What tests share: a real server on throw-away folders, clients that speak its protocols, throw-away plugins,
//! and fakes of time and chance.
//!
//! For tests and benches only; nothing that ships depends on it. It knows the server only from outside: its command
//! line, its HTTP and MCP faces and its processes in `/proc`. It must not know how any of that is done, and a test
//! that needs an inside view belongs into the crate that it looks into.
//!
//! Everything here reports a broken expectation by panicking with what was seen, as an assertion does.
#![expect(clippy::expect_used, clippy::panic, reason = "a test kit reports by panicking")]

pub mod client;
pub mod clock;
pub mod entropy;
pub mod http_client;
pub mod mcp_probe;
pub mod node_service;
pub mod payment_service;
pub mod plugin_folder;
pub mod process;
pub mod raw_socket;
pub mod redactions;
pub mod server;
pub mod sse;
pub mod workspace;

pub use client::{Api, Organization};
pub use clock::FakeClock;
pub use entropy::SeededEntropy;
pub use http_client::{HttpClient, Response};
pub use mcp_probe::{Exchange, McpProbe, Notifications};
pub use node_service::NodeService;
pub use payment_service::{PaymentAccount, PaymentService};
pub use plugin_folder::{PluginFiles, PluginFolder};
pub use raw_socket::RawSocket;
pub use redactions::{redact, redact_json};
pub use server::{StartFailure, TestServer, TestServerBuilder};
