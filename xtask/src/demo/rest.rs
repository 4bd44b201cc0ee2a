//! The REST interface, as far as the demonstration needs it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

/// How long an answer may take: enabling a plugin starts it once.
const PATIENCE: Duration = Duration::from_secs(120);

/// Somebody who may ask.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    address: String,
    token: String,
}

/// An answer: its status and its body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(address: &str, token: &str) -> Self {
        let agent = Agent::config_builder()
            // A refusal has a body that says why.
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        Self { agent, address: address.to_owned(), token: token.to_owned() }
    }

    /// Asks and takes any answer.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let failed = || format!("failed to ask for `{method} {path}`");
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        let sent = match body {
            Some(body) => self.agent.run(request.body(body.to_string()).with_context(failed)?),
            None => self.agent.run(request.body(()).with_context(failed)?),
        };
        let mut response = sent.with_context(failed)?;
        let text = response.body_mut().read_to_string().with_context(failed)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status: response.status().as_u16(), body })
    }

    /// Asks and takes only success.
    pub(super) fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.ask(method, path, body)?;
        if !(200..300).contains(&answer.status) {
            bail!("`{method} {path}` was answered with {}: {}", answer.status, answer.reason());
        }
        Ok(answer.body)
    }
}

impl Answer {
    /// Why it is a refusal: the problems one by one, or what else it says.
    pub(super) fn reason(&self) -> String {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let problems = self.body.get("problems").and_then(Value::as_array);
        let problems: Vec<_> =
            problems.into_iter().flatten().filter_map(|problem| text(problem, "message")).collect();
        if problems.is_empty() {
            text(&self.body, "detail")
                .or_else(|| text(&self.body, "title"))
                .unwrap_or_else(|| self.body.to_string())
        } else {
            problems.join("; ")
        }
    }
}

/// A path part: everything that is not plainly a part of a name is escaped.
pub(super) fn part(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_scoped_name_is_one_part() {
        assert_eq!(super::part("@acme/tickets"), "%40acme%2Ftickets");
    }
}
