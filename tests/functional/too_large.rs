//! Who sends more than is taken reads why, however it sends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hayloft_testkit::{TestServer, workspace};
use serde_json::Value;

/// How often each client tries: what is lost to a reset is lost now and then.
const ROUNDS: usize = 10;

/// The most that the server takes, and more than what the sockets between hold.
const LIMIT: &str = "100KiB";
const SIZE: usize = 24 << 20;

/// Node's own clients: `fetch` with a form, and a request that is written to its end before anything is read.
const NODE: &str = r#"
const [how, url, token, size] = process.argv.slice(1);
const bytes = Buffer.alloc(Number(size));
const told = (status, type, text) => console.log(JSON.stringify({ status, type, body: JSON.parse(text) }));
if (how === "fetch") {
  const body = new FormData();
  body.set("file", new Blob([bytes]), "plugin.tgz");
  const answer = await fetch(url, { method: "POST", body, headers: { authorization: `Bearer ${token}` } });
  told(answer.status, answer.headers.get("content-type"), await answer.text());
} else {
  const head = Buffer.from('--x\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n');
  const headers = { authorization: `Bearer ${token}`, "content-type": "multipart/form-data; boundary=x" };
  if (how === "length") headers["content-length"] = head.length + bytes.length;
  const { request } = await import("node:http");
  const sent = request(url, { method: "POST", headers, agent: false });
  sent.on("error", (error) => { console.error(error); process.exit(1); });
  sent.on("response", async (answer) => {
    let text = "";
    for await (const piece of answer) text += piece;
    told(answer.statusCode, answer.headers["content-type"], text);
  });
  sent.write(head);
  sent.end(bytes);
}
"#;

fn run(program: &Path, arguments: &[&str]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "what clients make of the server is what is tested")]
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).output().expect("the client runs")
}

fn assert_told(who: &str, output: &Output, status: &str, type_: &str, body: &Value) {
    assert_eq!((status, type_), ("413", "application/problem+json"), "{who}: {output:?}");
    assert_eq!(body["type"], "urn:hayloft:problem:content-too-large", "{who}: {body:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_an_archive_that_is_too_large_reads_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::builder().environment("HAYLOFT_LIMITS_UPLOAD", LIMIT).start().await;
    let acme = server.organization("Acme").await;
    let archive = folder.path().join("large.tgz");
    std::fs::write(&archive, vec![0; SIZE]).unwrap();
    let url = format!("{}/v1/plugins/upload", server.url());
    let (node, size) = (workspace::node(), SIZE.to_string());
    for round in 0..ROUNDS {
        for how in ["fetch", "length", "chunked"] {
            let who = format!("Node by {how}, round {round}");
            let output = run(&node, &["--input-type=module", "-e", NODE, how, &url, &acme.token, &size]);
            assert!(output.status.success(), "{who}: {output:?}");
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            let type_ = told["type"].as_str().unwrap_or_default();
            assert_told(&who, &output, &told["status"].to_string(), type_, &told["body"]);
        }
        for (how, header) in
            [("", "expect:"), (" in chunks", "transfer-encoding: chunked"), (" asking first", "x: y")]
        {
            let who = format!("curl{how}, round {round}");
            let token = format!("authorization: Bearer {}", acme.token);
            let file = format!("file=@{}", archive.display());
            let output = run(
                &PathBuf::from("/usr/bin/curl"),
                &[
                    "-sS",
                    "-H",
                    header,
                    "-H",
                    &token,
                    "-F",
                    &file,
                    "-w",
                    "\n%{http_code} %{content_type}",
                    &url,
                ],
            );
            // It may say that it could not send everything; what counts is what it read.
            let said = String::from_utf8(output.stdout.clone()).unwrap();
            let (body, facts) = said.rsplit_once('\n').unwrap_or_else(|| panic!("{who}: {output:?}"));
            let (status, type_) = facts.split_once(' ').unwrap();
            let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("{who}: {output:?}"));
            assert_told(&who, &output, status, type_, &body);
        }
        let output = crate::support::hayloft(&[
            "plugin",
            "install",
            archive.to_str().unwrap(),
            "--url",
            &server.url(),
            "--token",
            &acme.token,
        ]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("bytes allowed"), "round {round}: {said}");
    }
}
