//! The payment service that the sample plugin `payments` talks to, as a test drives it.

use http::Method;
use serde_json::{Value, json};

use crate::http_client::{HttpClient, Response, request};
use crate::node_service::NodeService;
use crate::workspace;

/// A running payment service with no accounts yet.
#[derive(Debug)]
pub struct PaymentService {
    service: NodeService,
    url: String,
    http: HttpClient,
}

/// A merchant's account.
#[derive(Clone, Debug)]
pub struct PaymentAccount {
    /// Its id.
    pub id: String,
    /// The secret key that its plugin authenticates with.
    pub key: String,
}

impl PaymentService {
    /// Starts the service on a free port.
    #[must_use]
    pub fn start() -> Self {
        let script = workspace::example_plugins().join("payments/test/service.mjs");
        let service = NodeService::start(&script, &["--port", "0"], &[]);
        let url = service.announcement()["url"].as_str().expect("the service says its address").to_owned();
        Self { service, url, http: HttpClient::new() }
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an account with a key of its own.
    pub async fn create_account(&self, name: &str) -> PaymentAccount {
        let made = self.control(&Method::POST, "accounts", &json!({ "name": name })).await.expect(201).json();
        let text = |field: &str| made[field].as_str().expect("a text in the answer").to_owned();
        PaymentAccount { id: text("id"), key: text("key") }
    }

    /// Sends a request as an account's own program would.
    pub async fn send(
        &self,
        account: &PaymentAccount,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Response {
        let authorization = format!("Bearer {}", account.key);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.http.send(request(method, &format!("{}{path}", self.url), &headers, body)).await
    }

    /// What happened to the first `count` webhooks that the service sent, as soon as there were so many.
    pub async fn deliveries(&self, count: usize) -> Vec<Value> {
        let answer = self.control(&Method::GET, &format!("deliveries?count={count}"), &Value::Null).await;
        answer.expect(200).json()["deliveries"].as_array().expect("a list of deliveries").clone()
    }

    /// Ends the service, as if it were out of order.
    pub fn stop(&mut self) {
        self.service.stop();
    }

    async fn control(&self, method: &Method, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let url = format!("{}/control/{path}", self.url);
        self.http.send(request(method, &url, &[("content-type", "application/json")], body)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accounts_are_apart_and_webhooks_are_told_of() {
        let service = PaymentService::start();
        let account = service.create_account("Ada's shop").await;
        let other = service.create_account("Bert's shop").await;
        // Nobody listens there: the attempt counts all the same.
        let endpoint = json!({ "url": "http://127.0.0.1:9/webhook", "secret": "whsec" });
        let _subscribed =
            service.send(&account, &Method::POST, "/v1/webhook-endpoints", &endpoint).await.expect(201);
        let payment = json!({ "amount": 100, "currency": "EUR" });
        let made = service.send(&account, &Method::POST, "/v1/payments", &payment).await.expect(201).json();

        let path = format!("/v1/payments/{}", made["id"].as_str().unwrap());
        assert_eq!(service.send(&account, &Method::GET, &path, &Value::Null).await.expect(200).json(), made);
        let _unknown = service.send(&other, &Method::GET, &path, &Value::Null).await.expect(404);
        assert_eq!(service.deliveries(1).await[0]["event"]["payment"]["id"], made["id"]);

        let stranger = PaymentAccount { id: "acct_0".into(), key: "sk_test_unknown".into() };
        let _refused = service.send(&stranger, &Method::GET, "/v1/account", &Value::Null).await.expect(401);
    }
}
