//! Packages that speak to databases and mail servers, as npm installs them in a jail, work in one.

use std::process::Command;

use hayloft_testkit::http_client::request;
use hayloft_testkit::node_service::NodeService;
use hayloft_testkit::{HttpClient, PluginFolder};
use http::Method;
use serde_json::{Value, json};

use super::{installed, routes_plugin, server};
use crate::postgres::Postgres;
use crate::support::workspace_file;

const PLUGIN: &str = "hay-plugin-orders";

const ENTRY: &str = r#"import { readFileSync } from "node:fs";
import { defineHayPlugin } from "@hay/plugin-sdk";
import nodemailer from "nodemailer";
import pg from "pg";

const ca = readFileSync(new URL("../outside-cert.pem", import.meta.url), "utf8");

export default defineHayPlugin(({ register }) => ({
  name: "orders",
  onInitialize() {
    register.route("POST", "/", async (_request, response) => {
      const client = new pg.Client({ host: "db.outside.test", user: "hayloft", database: "postgres" });
      await client.connect();
      await client.query("create table orders (id serial primary key, item text)");
      const { rows } = await client.query("insert into orders (item) values ($1) returning id, item", ["a red kite"]);
      await client.end();
      const transport = nodemailer.createTransport({
        host: "mail.outside.test", port: 587, requireTLS: true, tls: { ca, servername: "api.outside.test" },
      });
      const { accepted } = await transport.sendMail({
        from: "shop@acme.test", to: "ada@acme.test", subject: "Your order", text: "One kite is on its way.",
      });
      response.json({ rows, accepted });
    });
  },
}));
"#;

/// The version that the workspace has of a package.
fn version(package: &str) -> String {
    let manifest = std::fs::read_to_string(workspace_file("package.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["devDependencies"][package].as_str().unwrap().to_owned()
}

/// What the database itself says.
fn rows(postgres: &Postgres, query: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the test's own view of the database")]
    let mut command = Command::new("/usr/bin/psql");
    let port = postgres.address().port().to_string();
    command.args(["-h", "127.0.0.1", "-p", &port, "-U", "hayloft", "-d", "postgres", "-XAtc", query]);
    let output = command.output().expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_database_and_a_mail_server_are_used_by_packages_of_the_registry() {
    let postgres = Postgres::start().await;
    let script = workspace_file("tests/functional/fixtures/outside.cjs");
    let outside = NodeService::start::<&str>(&script, &[], &[]);
    let port = |name: &str| outside.announcement()[name].as_u64().expect("a port");
    let folder = PluginFolder::new();
    let dependencies = json!({
        "@hay/plugin-sdk": "^0.1.0", "pg": version("pg"), "nodemailer": version("nodemailer"),
    });
    let certificate =
        std::fs::read_to_string(workspace_file("tests/functional/fixtures/outside-cert.pem")).unwrap();
    let files = [("dist/index.js", ENTRY), ("outside-cert.pem", certificate.as_str())];
    routes_plugin(&folder, PLUGIN, &json!({ "dependencies": dependencies }), &files);
    let private = json!([
        format!("db.outside.test:5432={}", postgres.address()),
        format!("mail.outside.test:587=127.0.0.1:{}", port("mail")),
    ]);
    let settings = tempfile::tempdir().unwrap();
    let config = settings.path().join("hayloft.toml");
    std::fs::write(&config, format!("[network.private]\n{PLUGIN} = {private}\n")).unwrap();
    let server = server(&folder).environment("HAYLOFT_CONFIG", config.to_str().unwrap()).start().await;
    let acme = server.organization("Acme").await;
    let before = acme.get(&format!("plugins/{PLUGIN}")).await.expect(200).json();
    assert_eq!(before["needsInstallation"], true, "{before:#}");
    let shown = installed(&acme, PLUGIN).await;
    assert_eq!(
        (&shown["installation"]["state"], &shown["state"]),
        (&json!("installed"), &json!("ready")),
        "{shown:#}"
    );

    let answer = acme.route(&Method::POST, PLUGIN, "/", &[], "").await.expect(200).json();
    assert_eq!(answer, json!({ "rows": [{ "id": 1, "item": "a red kite" }], "accepted": ["ada@acme.test"] }));
    // The servers themselves have both.
    assert_eq!(rows(&postgres, "select id, item from orders"), "1|a red kite\n");
    let mails = format!("http://127.0.0.1:{}/mails", port("web"));
    let mails =
        HttpClient::new().send(request(&Method::GET, &mails, &[], String::new())).await.expect(200).json();
    assert_eq!(mails.as_array().unwrap().len(), 1, "{mails:#}");
    let mail = &mails[0];
    assert_eq!((&mail["from"], &mail["secure"]), (&json!("shop@acme.test"), &json!(true)), "{mail:#}");
    assert_eq!(mail["to"], json!(["ada@acme.test"]));
    assert!(mail["text"].as_str().unwrap().contains("One kite is on its way."), "{mail:#}");
}
