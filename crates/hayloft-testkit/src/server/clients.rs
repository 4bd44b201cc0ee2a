//! Who speaks to a test server: clients of its faces, with the rights of a token.

use super::TestServer;
use crate::client::{Api, Organization};
use crate::mcp_probe::McpProbe;
use crate::raw_socket::RawSocket;

impl TestServer {
    /// Its base address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address.get())
    }

    /// The administrator's token.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The server as its administrator sees it.
    #[must_use]
    pub fn admin(&self) -> Api {
        self.api(Some(&self.admin_token))
    }

    /// The server as the bearer of a token sees it, or a caller without one.
    #[must_use]
    pub fn api(&self, token: Option<&str>) -> Api {
        Api::new(self.address.clone(), self.http.clone(), token.map(str::to_owned))
    }

    /// Makes an organization with a token.
    pub async fn organization(&self, name: &str) -> Organization {
        Organization::create(&self.admin(), name).await
    }

    /// An MCP client with a token.
    #[must_use]
    pub fn mcp(&self, token: &str) -> McpProbe {
        self.api(Some(token)).mcp()
    }

    /// A bare connection.
    pub async fn raw_socket(&self) -> RawSocket {
        RawSocket::connect(self.address.get()).await
    }
}
