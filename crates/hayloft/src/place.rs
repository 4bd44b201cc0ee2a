//! Where in a server's REST API a command does its work: at an organization, or at a plugin of one.

use http::Method;
use serde_json::Value;

use crate::client::{Client, segment};
use crate::events::Events;
use crate::failure::Failure;

/// A path of the API, and the server that has it.
pub(crate) struct Place {
    client: Client,
    path: String,
}

impl Place {
    /// An organization, by its id.
    pub(crate) fn organization(client: Client, id: &str) -> Self {
        Self { client, path: format!("/v1/orgs/{}", segment(id)) }
    }

    /// A plugin of this organization.
    pub(crate) fn plugin(self, id: &str) -> Self {
        Self { path: format!("{}/plugins/{}", self.path, segment(id)), client: self.client }
    }

    /// What is there, or below it.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub(crate) async fn get(&self, below: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, below, None).await
    }

    /// Asks for something there, or below it.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub(crate) async fn ask(
        &self,
        method: Method,
        below: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.client.ask(method, &format!("{}{below}", self.path), body).await
    }

    /// Listens to the events that are told below it, from the one after `last` on.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub(crate) async fn listen(&self, below: &str, last: Option<&str>) -> Result<Events, Failure> {
        self.client.listen(&format!("{}{below}", self.path), last).await
    }
}
