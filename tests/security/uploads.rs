//! Plugins that organizations bring along, exchange, outgrow and remove.

use std::fs;

use hayloft_testkit::process::Process;
use hayloft_testkit::{Organization, PluginFolder};
use http::Method;
use serde_json::{Value, json};
use tar::EntryType;

use crate::harness::{Setup, canary};
use crate::uploaded::{ID, entry, entry_of, good, manifest, said, tgz, until, upload, zip};

in_setups!(strongest Strongest, ordinary Ordinary:
    uploads_and_removals_at_the_same_time_leave_one_or_none,
    what_is_uninstalled_is_gone,
    what_a_newer_version_asks_for_is_withheld,
    keys_of_prototypes_are_inert
);
in_setups!(named Strongest: an_upload_takes_over_nothing, what_is_uploaded_fills_nothing_but_a_share);

async fn an_upload_takes_over_nothing(setup: Setup) {
    let plugins = PluginFolder::new();
    plugins.hay_package("hay-plugin-shared", &[], "export default () => ({ name: 'shared' });");
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("hayloft.toml");
    let granted = "[network.private]\nhay-plugin-trusted = [\"db.internal:5432=10.0.0.5\"]\n";
    fs::write(&configuration, granted).unwrap();
    let server =
        setup.server(&plugins).environment("HAYLOFT_CONFIG", configuration.to_str().unwrap()).start().await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    let named = |name: &str, version: &str| {
        let text = manifest(name, version, &json!({}));
        zip(&[("package.json", text.as_bytes()), ("index.js", entry_of("1").as_bytes())])
    };
    let long = "x".repeat(10_000);
    for name in [
        "../../x",
        "..",
        "",
        &long,
        "CON/../x",
        "hay-plugin-\u{445}",
        "ui",
        "upload",
        "public",
        "a/b/c",
        "x\u{0}y",
        "%2e%2e",
    ] {
        let refused = upload(&acme, "", &named(name, "1.0.0")).await;
        assert_eq!(refused.status, 422, "{name:?}: {}", refused.text());
    }
    for version in ["", "1", "../1", "1.0.0/../..", "latest"] {
        let refused = upload(&acme, "", &named(ID, version)).await;
        assert_eq!(refused.status, 422, "{version:?}: {}", refused.text());
    }
    upload(&acme, "", &named("hay-plugin-shared", "99.0.0")).await.expect(409);
    let reserved = upload(&acme, "", &named("hay-plugin-trusted", "1.0.0")).await.expect(409);
    assert!(reserved.text().contains("id-reserved"), "{}", reserved.text());
    upload(&acme, "", &good("2.0.0", &json!({}), "2")).await.expect(201);
    upload(&acme, "", &good("2.0.0", &json!({}), "'other content'")).await.expect(409);
    let older = good("1.0.0", &json!({}), "1");
    upload(&acme, "", &older).await.expect(409);
    upload(&acme, "?allowDowngrade=true", &older).await.expect(201);
    assert!(acme.get("audit").await.expect(200).text().contains(r#""downgrade":true"#));
    // Whatever others have under the name is theirs.
    upload(&other, "", &good("1.0.0", &json!({}), "'theirs'")).await.expect(201);
    acme.enable(ID, json!({})).await;
    other.enable(ID, json!({})).await;
    assert_eq!((said(&acme).await, said(&other).await), ("1".into(), "theirs".into()));
    other.delete(&format!("plugins/{ID}/installation")).await.expect(204);
    assert_eq!(said(&acme).await, "1");
}

/// By bytes and by the number of files.
async fn what_is_uploaded_fills_nothing_but_a_share(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).environment("HAYLOFT_ORGANIZATION_DISK", "8MiB").start().await;
    let (acme, other) = (server.organization("Acme").await, server.organization("Other").await);
    let filled = |id: &str, files: usize, bytes: usize| {
        tgz(|builder| {
            let mut file = |name: &str, text: &[u8]| {
                let name = format!("package/{name}");
                entry(builder, EntryType::Regular, name.as_bytes(), b"", 0o644, text);
            };
            file("package.json", manifest(id, "1.0.0", &json!({})).as_bytes());
            file("index.js", entry_of("1").as_bytes());
            for number in 0..files {
                file(&format!("file-{number}"), &vec![0; bytes]);
            }
        })
    };
    for (what, files, bytes) in [("bytes", 1, 3 << 20), ("files", 700, 1)] {
        let mut taken = Vec::new();
        let refused = loop {
            let id = format!("hay-plugin-{what}-{}", taken.len());
            let answer = upload(&acme, "", &filled(&id, files, bytes)).await;
            if answer.status != 201 || taken.len() > 9 {
                break answer;
            }
            taken.push(id);
        };
        assert_eq!((refused.status.as_u16(), taken.len()), (413, 2), "{what}: {}", refused.text());
        // What others have is not less for it, and what is removed is free.
        let theirs = upload(&other, "", &good("1.0.0", &json!({}), "1")).await;
        assert!([200, 201].contains(&theirs.status.as_u16()), "{}", theirs.text());
        for id in taken {
            acme.delete(&format!("plugins/{id}/installation")).await.expect(204);
        }
    }
    other.enable(ID, json!({})).await;
    assert_eq!(said(&other).await, "1");
    server.organization("The host still writes").await;
}

async fn uploads_and_removals_at_the_same_time_leave_one_or_none(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let versions: Vec<Vec<u8>> =
        (1..=3).map(|number| good(&format!("{number}.0.0"), &json!({}), &number.to_string())).collect();
    let id = format!("plugins/{ID}");
    let installation = format!("{id}/installation");
    let place = server.data_folder().join("plugins/custom").join(&acme.id).join(ID);
    for round in 0..100 {
        let query = "?allowDowngrade=true";
        let enable = json!({ "enabled": true });
        let (one, other, on, off) = tokio::join!(
            upload(&acme, query, &versions[round % 3]),
            upload(&acme, query, &versions[(round + 1) % 3]),
            async { if round % 10 == 0 { Some(acme.put(&id, &enable).await) } else { None } },
            acme.delete(&installation),
        );
        for uploaded in [one, other] {
            assert!([200, 201].contains(&uploaded.status.as_u16()), "{}", uploaded.text());
        }
        assert!(on.is_none_or(|on| [200, 202, 404, 422].contains(&on.status.as_u16())));
        assert!([204, 404].contains(&off.status.as_u16()), "{}", off.text());
        let shown = acme.get(&id).await;
        match shown.status.as_u16() {
            200 => {
                let manifest: Value =
                    serde_json::from_slice(&fs::read(place.join("package.json")).unwrap()).unwrap();
                let current =
                    async || acme.get(&id).await.expect(200).json()["version"] == manifest["version"];
                until("what is shown to be what is there", current).await;
            }
            404 => assert!(!place.exists()),
            status => panic!("{status}: {}", shown.text()),
        }
    }
    acme.delete(&installation).await;
    let kept = server.data_folder().join("packages").join(ID);
    until("all of it to be gone", async || !place.exists() && !kept.exists()).await;
    assert_eq!(fs::read_dir(server.data_folder().join("uploads")).unwrap().count(), 0);
}

async fn what_is_uninstalled_is_gone(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    // Its tool leaves processes behind that listen to nobody.
    let mark = canary("escaped");
    let escape = format!(
        r#"import("node:child_process").then(({{ spawn }}) => {{
          const code = "process.on('SIGTERM', () => {{}}); process.on('SIGHUP', () => {{}}); setInterval(() => {{}}, 1000)";
          for (const detached of [true, false])
            spawn(process.execPath, ["-e", code, "{mark}"], {{ detached, stdio: "ignore", env: {{}} }}).unref();
          return "here";
        }})"#
    );
    let escaped = || Process::all().into_iter().filter(|process| process.command.contains(&mark)).count();
    upload(&acme, "", &good("1.0.0", &json!({}), &escape)).await.expect(201);
    acme.enable(ID, json!({ "any": { "kept": true } })).await;
    assert_eq!(said(&acme).await, "here");
    until("both processes", async || escaped() >= 2).await;
    let route = async || acme.route(&Method::POST, ID, "/", &[], "").await;
    route().await.expect(200);
    let workers = async || server.admin().get("/v1/workers").await.expect(200).text();
    assert!(workers().await.contains(ID));

    acme.delete(&format!("plugins/{ID}/installation")).await.expect(204);
    // It has answered, so all of that is so already.
    assert_eq!(escaped(), 0, "processes outlived the plugin");
    route().await.expect(404);
    acme.call_tool("mine__act", json!({})).await.expect(404);
    assert!(!acme.get("tools").await.expect(200).text().contains("mine__act"));
    assert!(!workers().await.contains(ID));
    for below in ["", "/logs", "/metadata", "/installation/log", "/installation/events"] {
        acme.get(&format!("plugins/{ID}{below}")).await.expect(404);
    }
    acme.put(&format!("plugins/{ID}"), &json!({ "enabled": true })).await.expect(404);
    acme.post(&format!("plugins/{ID}/permissions"), &json!({ "permissions": [] })).await.expect(404);
    let kept = server.data_folder().join("packages").join(ID);
    until("its versions to be gone", async || !kept.exists()).await;
    let own = server.data_folder().join("plugins/custom").join(&acme.id);
    assert_eq!(fs::read_dir(own).unwrap().count(), 0);

    // What was saved is kept, and what was granted is not.
    upload(&acme, "", &good("1.0.0", &json!({}), &escape)).await.expect(201);
    let back = acme.get(&format!("plugins/{ID}")).await.expect(200).json();
    assert_eq!((&back["enabled"], &back["grantedPermissions"]), (&json!(false), &json!([])), "{back:#}");
    assert_eq!(acme.enable(ID, json!({})).await["config"]["any"], json!({ "kept": true }));
    acme.delete(&format!("plugins/{ID}/installation?purge=true")).await.expect(204);
    upload(&acme, "", &good("1.0.0", &json!({}), &escape)).await.expect(201);
    assert_eq!(acme.enable(ID, json!({})).await["config"]["any"], json!(null));
}

async fn what_a_newer_version_asks_for_is_withheld(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup
        .server(&plugins)
        .environment("FIRST_NAME", "first")
        .environment("SECOND_NAME", "second")
        .start()
        .await;
    let acme = server.organization("Acme").await;
    let has = "[process.env.FIRST_NAME, process.env.SECOND_NAME, ...(await Promise.all(['one.test', 'two.test'].map(\
        (name) => dns.lookup(name).then(() => name, (error) => error.code))))].join()";
    let asking = |env: &[&str], hosts: &[&str]| json!({ "env": env, "network": hosts });
    let first = good("1.0.0", &asking(&["FIRST_NAME"], &["one.test"]), &format!("(async () => {has})()"));
    let answer = upload(&acme, "", &first).await.expect(201).json();
    let pending = |of: &Value| -> Vec<String> {
        let list = of["pendingPermissions"].as_array().unwrap().iter();
        list.map(|one| format!("{} {}", one["kind"].as_str().unwrap(), one["name"].as_str().unwrap()))
            .collect()
    };
    assert!(pending(&answer["plugin"]).contains(&"network one.test:443".to_owned()), "{answer:#}");
    let enabled = acme.enable(ID, json!({})).await;
    assert!(pending(&enabled).is_empty(), "who switches it on grants what it asks for: {enabled:#}");
    assert!(enabled["grantedPermissions"].to_string().contains("one.test:80"), "{enabled:#}");
    let before = "first,,one.test,ENOTFOUND";
    assert_eq!(said(&acme).await, before);

    let more = asking(&["FIRST_NAME", "SECOND_NAME"], &["one.test", "two.test"]);
    let second = good("2.0.0", &more, &format!("(async () => {has})()"));
    upload(&acme, "", &second).await.expect(201);
    let shown = async || acme.get(&format!("plugins/{ID}")).await.expect(200).json();
    until("the newer version", async || shown().await["version"] == "2.0.0").await;
    until("its worker", async || shown().await["state"] == "ready").await;
    assert_eq!(said(&acme).await, before, "the newer version has what the older one was granted");
    let expected =
        ["environment SECOND_NAME", "network two.test:443", "network two.test:80"].map(String::from);
    assert_eq!(pending(&shown().await), expected);
    // It is shown before all organizations that have it were told.
    until("the question in the trail", async || {
        let trail = acme.get("audit").await.expect(200).json();
        let mut entries = trail["entries"].as_array().unwrap().iter();
        entries.any(|entry| {
            entry["action"] == "permissions.asked" && entry["detail"].to_string().contains("two.test")
        })
    })
    .await;
    // Neither saving settings nor a restart of the worker grants anything.
    acme.enable(ID, json!({ "any": 1 })).await;
    assert_eq!(said(&acme).await, before);

    let grant = async |organization: &Organization, permissions: Value| {
        let body = json!({ "permissions": permissions });
        organization.post(&format!("plugins/{ID}/permissions"), &body).await
    };
    let member = acme.create_token("member").await;
    let as_member = Organization { api: server.api(Some(&member)), ..acme.clone() };
    let name = json!([{ "kind": "environment", "name": "SECOND_NAME" }]);
    grant(&as_member, name.clone()).await.expect(403);
    let stranger = json!([{ "kind": "network", "name": "three.test:443" }]);
    let refused = grant(&acme, stranger).await.expect(422).json();
    assert_eq!(refused["problems"][0]["at"], "permissions.0", "{refused:#}");
    assert_eq!(said(&acme).await, before);
    let granted = grant(&acme, name).await.expect(200).json();
    assert_eq!(pending(&granted), expected[1..]);
    assert_eq!(said(&acme).await, "first,second,one.test,ENOTFOUND");
    grant(&acme, granted["pendingPermissions"].clone()).await.expect(200);
    assert_eq!(said(&acme).await, "first,second,one.test,two.test");
}

async fn keys_of_prototypes_are_inert(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let polluting = r#"{"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}}}"#;
    // In the manifest.
    for place in [r#""hay-plugin":{"#, r#"{"name""#] {
        let text = manifest(ID, "1.0.0", &json!({}));
        let (before, after) = text.split_once(place).unwrap();
        let key = r#""__proto__":{"polluted":"yes"},"#;
        let evil = match place.strip_prefix('{') {
            Some(rest) => format!("{before}{{{key}{rest}{after}"),
            None => format!("{before}{place}{key}{after}"),
        };
        let archive = zip(&[("package.json", evil.as_bytes()), ("index.js", entry_of("1").as_bytes())]);
        let refused = upload(&acme, "", &archive).await;
        assert_eq!(refused.status, 422, "{evil}: {}", refused.text());
        assert!(refused.text().contains("__proto__"), "{}", refused.text());
    }
    let expression =
        "[typeof ({}).polluted, typeof [].polluted, JSON.stringify(args ?? null).length > 0].join()";
    upload(&acme, "", &good("1.0.0", &json!({}), expression)).await.expect(201);
    acme.enable(ID, json!({})).await;
    // In settings, at the top and inside.
    for config in
        [polluting.to_owned(), format!(r#"{{"any":{polluting}}}"#), format!(r#"{{"any":[{polluting}]}}"#)]
    {
        let body = format!(r#"{{"config":{config}}}"#);
        let headers = [("content-type", "application/json")];
        let path = acme.path(&format!("plugins/{ID}"));
        let refused = acme.api.send(&Method::PUT, &path, &headers, body).await;
        assert_eq!(refused.status, 422, "{config}: {}", refused.text());
    }
    // A name that is only odd is a name: it does nothing in the worker.
    acme.enable(ID, json!({ "any": { "constructor": { "prototype": { "polluted": "yes" } } } })).await;
    assert_eq!(said(&acme).await, "undefined,undefined,true");
    // In what a tool is given, and in what a provider sends.
    let headers = [("content-type", "application/json")];
    let body = format!(r#"{{"arguments":{polluting}}}"#);
    let path = acme.path("tools/mine__act/call");
    let called = acme.api.send(&Method::POST, &path, &headers, body).await;
    assert!(!called.text().contains("string"), "{}", called.text());
    let answered = acme.route(&Method::POST, ID, "/", &headers, polluting.to_owned()).await.expect(200);
    assert_eq!(answered.json()["polluted"], "undefined");
    assert_eq!(said(&acme).await, "undefined,undefined,true");
}
