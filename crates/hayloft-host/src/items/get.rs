//! Read a resource or get a prompt of an organization, whichever plugin and server has it.

use std::time::Instant;

use hayloft_mcp::client::UpstreamGet;
use hayloft_mcp::{GetItem, ItemKind, ToolFailure, Upstream, with_addresses};
use hayloft_model::{Caller, InstanceKey, OrganizationId, PluginId, Scope, ServerId};
use hayloft_store::calls::{CallKind, CallRecord};
use serde_json::value::RawValue;

use super::table::{ItemsByServer, ServerItems};
use crate::Host;
use crate::tools::call::{CallToolError, Reached, no_turn, server_down, too_soon};
use crate::tools::outcome::told;

/// What every public address begins with.
const SCHEME: &str = "hayloft://";

impl Host {
    /// Reads a resource or gets a prompt. The result is the server's own, with public addresses of the contents that were
    /// read, or of the resources that a prompt has inside or leads to.
    ///
    /// # Errors
    /// See [`CallToolError`].
    pub async fn get_item(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        request: GetItem,
    ) -> Result<Box<RawValue>, CallToolError> {
        self.authorize(caller, organization, Scope::ToolsCall)?;
        let found = match request.kind {
            // To look for what no list has asks every plugin that was never asked.
            ItemKind::Prompt => tokio::select! {
                found = self.prompt(organization, &request.identity) => found,
                () = request.cancelled.cancelled() => return Err(ToolFailure::Cancelled.into()),
            },
            ItemKind::Resource | ItemKind::Template => place(organization, &request.identity),
        };
        let found = found.filter(|(key, ..)| self.instances.get(key).is_some_and(|found| found.enabled));
        let unknown = || ToolFailure::UnknownItem { kind: request.kind, identity: request.identity.clone() };
        let (key, server, own) = found.ok_or_else(unknown)?;
        let (at, begun) = (self.clock.now(), Instant::now());
        let kind = match request.kind {
            ItemKind::Prompt => CallKind::Prompt,
            ItemKind::Resource | ItemKind::Template => CallKind::Resource,
        };
        let name = self.item_name(&key, &server, kind, &own);
        let outcome = self.get_known_item(&key, &server, &own, request).await;
        let (told, reason) = told(&outcome);
        self.take_down(CallRecord {
            organization,
            plugin: key.plugin,
            kind,
            server: Some(server),
            name,
            caller: caller.to_string(),
            at,
            duration: begun.elapsed(),
            outcome: told,
            reason: reason.map(str::to_owned),
        });
        outcome
    }

    /// What is taken down of an address: one that no list has was put together by whoever asks.
    fn item_name(&self, key: &InstanceKey, server: &ServerId, kind: CallKind, own: &str) -> String {
        let listed = self.items.of(key).remove(server);
        let lists = |items: &ServerItems| items.resources.iter().any(|resource| resource.own == own);
        let is_known = kind != CallKind::Resource || listed.is_some_and(|items| lists(&items));
        if is_known { own.to_owned() } else { String::from("unlisted") }
    }

    async fn get_known_item(
        &self,
        key: &InstanceKey,
        server: &ServerId,
        own: &str,
        request: GetItem,
    ) -> Result<Box<RawValue>, CallToolError> {
        self.check_callable(key)?;
        self.rates.take(key).map_err(too_soon)?;
        let _turn = self.shares.take(key.organization, &request.cancelled).await.map_err(no_turn)?;
        let reached = async {
            match self.remote_link(key, server) {
                Some(link) => Ok(Reached::Elsewhere(link)),
                None => self.session(key, server).await,
            }
        };
        let reached = tokio::select! {
            reached = reached => reached?,
            () = request.cancelled.cancelled() => return Err(ToolFailure::Cancelled.into()),
        };
        let (_in_flight, link, upstream) = match reached {
            Reached::InWorker(worker, upstream) => (Some(worker.activity()), None, upstream),
            Reached::Elsewhere(link) => {
                let session = tokio::select! {
                    session = link.session() => session,
                    () = request.cancelled.cancelled() => return Err(ToolFailure::Cancelled.into()),
                };
                let upstream = session.map_err(|down| {
                    let left = down.until.saturating_duration_since(tokio::time::Instant::now());
                    server_down(key, server, &down.error, Some(left))
                })?;
                (None, Some(link), upstream)
            }
        };
        let get = UpstreamGet {
            kind: request.kind,
            identity: own,
            arguments: request.arguments.as_deref(),
            meta: request.meta.as_deref(),
            progress: request.progress,
            deadline: self.tool_deadline(),
            cancelled: &request.cancelled,
        };
        let result = upstream.get_item(get).await;
        if let Some(link) = link {
            match &result {
                Ok(_) => link.answered(),
                Err(error) => {
                    link.told(error);
                }
            }
        }
        let result = result.map_err(ToolFailure::from)?;
        Ok(match request.kind {
            ItemKind::Prompt => with_public_addresses(&upstream, key, server, result),
            ItemKind::Resource | ItemKind::Template => {
                with_addresses(&result, |own| public_address(key, server, own))
            }
        })
    }

    /// Where the prompt of a public name is. Whoever knows the name may ask before anybody asked for a list.
    async fn prompt(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Option<(InstanceKey, ServerId, String)> {
        let own = self.instances.all().into_iter().map(|instance| instance.key.clone());
        let own = own.filter(|key| key.organization == organization);
        let known = own.map(|key| {
            let items = self.items.of(&key);
            (key, items)
        });
        match find_prompt(known.collect(), name) {
            Some(found) => Some(found),
            None => find_prompt(self.all_items(organization).await, name),
        }
    }
}

fn find_prompt(
    known: Vec<(InstanceKey, ItemsByServer)>,
    name: &str,
) -> Option<(InstanceKey, ServerId, String)> {
    known.into_iter().find_map(|(key, servers)| {
        servers.into_iter().find_map(|(server, items)| {
            let prompt = items.prompts.iter().find(|prompt| prompt.public == name)?;
            Some((key.clone(), server, prompt.own.clone()))
        })
    })
}

/// The public address of what a server calls by its own.
pub(super) fn public_address(key: &InstanceKey, server: &ServerId, own: &str) -> String {
    format!("{SCHEME}{}/{}/{own}", escaped(key.plugin.as_str()), escaped(server.as_str()))
}

/// The result of a tool or a prompt, from which whoever gets it can read the resources that it has inside or leads to.
pub(crate) fn with_public_addresses(
    upstream: &Upstream,
    key: &InstanceKey,
    server: &ServerId,
    result: Box<RawValue>,
) -> Box<RawValue> {
    upstream.with_linked_addresses(result, |own| public_address(key, server, own))
}

/// Where a public address leads: to which server, and to what there.
fn place(organization: OrganizationId, address: &str) -> Option<(InstanceKey, ServerId, String)> {
    let mut parts = address.strip_prefix(SCHEME)?.splitn(3, '/');
    let (plugin, server, own) = (parts.next()?, parts.next()?, parts.next()?);
    let plugin: PluginId = unescaped(plugin)?.parse().ok()?;
    let server: ServerId = unescaped(server)?.parse().ok()?;
    Some((InstanceKey { organization, plugin }, server, own.to_owned()))
}

/// One part of an address: whatever is neither a letter, a digit nor one of `-._` stands as `%` and its number (RFC 3986
/// section 2.1).
fn escaped(part: &str) -> String {
    part.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn unescaped(part: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_address_leads_back_to_what_it_was_made_of() {
        let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
        for (plugin, server, own, expected) in [
            ("hay-plugin-a", "main", "file:///a b?c#d", "hayloft://hay-plugin-a/main/file:///a b?c#d"),
            ("@acme/tickets", "x:1%", "demo://{id}", "hayloft://%40acme%2Ftickets/x%3A1%25/demo://{id}"),
        ] {
            let key = InstanceKey { organization, plugin: plugin.parse().unwrap() };
            let server: ServerId = server.parse().unwrap();
            let address = public_address(&key, &server, own);
            assert_eq!(address, expected);
            assert_eq!(place(organization, &address), Some((key, server, own.to_owned())));
        }
        for bad in [
            "",
            "file:///a",
            "hayloft://",
            "hayloft://a/b",
            "hayloft://A B/s/x",
            "hayloft://a%4/s/x",
            "hayloft://%ff/s/x",
        ] {
            assert_eq!(place(organization, bad), None, "{bad}");
        }
    }
}
