//! Files of plugins that the host serves: none outside of their folder, none that lies beside what is meant.

use std::fs;
use std::os::unix::fs::symlink;

use hayloft_testkit::{PluginFolder, TestServer};
use serde_json::json;

use crate::harness::Setup;

const CANARY: &str = "canary-5d1c";

/// A plugin with files to serve, and with others beside them, all of which hold the canary.
fn plugin(folder: &PluginFolder) {
    let manifest = json!({
        "id": "hay-plugin-board", "name": "Board", "version": "1.0.0", "description": CANARY, "author": "Tests",
        "type": ["analytics"], "entry": "./dist/index.js",
        "capabilities": { "ui": { "routes": [{
            "path": "/board", "component": "./components/Page.vue", "name": "board",
            "meta": { "title": "Board", "requiresAuth": false },
        }] } },
    });
    let plugin = folder.plugin("hay-plugin-board");
    let root = plugin.root().to_owned();
    let mut plugin = plugin
        .file("manifest.json", manifest.to_string())
        .file("public/icon.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>")
        .file("public/sub/deep.txt", "deep")
        .file("dist/ui.js", "export {}")
        .file("dist/assets/logo.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>");
    for beside in [
        "components/Page.vue",
        "dist/index.js",
        "dist/ui.js.map",
        "dist/.env",
        "dist/assets/.env",
        "dist/assets/page.html",
        "dist/node_modules/x/ui.js",
        ".env",
        "secret.txt",
        "public/.htpasswd",
        "public/.git/config",
    ] {
        plugin = plugin.file(beside, CANARY);
    }
    fs::write(folder.path().join("neighbour.txt"), CANARY).unwrap();
    for (to, at) in [
        ("../../secret.txt", "dist/assets/link.txt"),
        ("../secret.txt", "public/link.txt"),
        ("..", "public/up"),
        ("../..", "dist/assets/up"),
        (".htpasswd", "public/plain.txt"),
        ("/etc", "public/etc"),
        ("/etc", "dist/assets/etc"),
    ] {
        symlink(to, root.join(at)).unwrap();
    }
}

/// What a path on the wire is answered with, byte for byte as it is.
async fn raw(server: &TestServer, path: &str) -> (u16, String) {
    let mut socket = server.raw_socket().await;
    socket.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
    let answer = String::from_utf8_lossy(&socket.read_to_end().await).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer)
}

fn is_withheld(path: &str, (status, answer): &(u16, String)) {
    assert!((400..500).contains(status), "{path}: {answer}");
    assert!(!answer.contains(CANARY) && !answer.contains("root:"), "{path}: {answer}");
}

#[tokio::test]
async fn no_path_leads_out() {
    let folder = PluginFolder::new();
    plugin(&folder);
    let server = Setup::Strongest.server(&folder).start().await;
    let roots = ["/plugins/public/hay-plugin-board", "/plugins/ui/hay-plugin-board"];
    for served in
        ["/plugins/public/hay-plugin-board/icon.svg", "/plugins/ui/hay-plugin-board/assets/logo.svg"]
    {
        assert_eq!(raw(&server, served).await.0, 200, "{served}");
    }
    let ups = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "..%00",
        "%252e%252e",
        "..;",
        "%c0%ae%c0%ae",
        "%ff%2e",
        "....",
        "%e3%80%82%e3%80%82",
        "\u{2025}",
    ];
    let slashes = ["/", "%2f", "%5c", "\\", "%252f", "%c0%af", "//", "/./", "/x/../", "%2f%2f"];
    let targets = ["secret.txt", "manifest.json", ".env", "etc/passwd", "neighbour.txt", "index.js"];
    for root in roots {
        for up in ups {
            for slash in slashes {
                for target in targets {
                    for path in [
                        format!("{root}/{up}{slash}{target}"),
                        format!("{root}/assets/{up}{slash}{up}{slash}{target}"),
                    ] {
                        is_withheld(&path, &raw(&server, &path).await);
                    }
                }
            }
        }
        for rest in
            ["//etc/passwd", "/%2fetc%2fpasswd", "/file:%2f%2f%2fetc%2fpasswd", "/C:%5cboot.ini", "/", ""]
        {
            let path = format!("{root}{rest}");
            is_withheld(&path, &raw(&server, &path).await);
        }
    }
    for plugin in
        ["..", "%2e%2e", "%2e%2e%2fhay-plugin-board", "hay-plugin-board%2f..", "hay-plugin-board%00", "."]
    {
        for face in ["public", "ui"] {
            let path = format!("/plugins/{face}/{plugin}/secret.txt");
            is_withheld(&path, &raw(&server, &path).await);
        }
    }
}

#[tokio::test]
async fn nothing_lies_beside_what_is_served() {
    let folder = PluginFolder::new();
    plugin(&folder);
    let server = Setup::Strongest.server(&folder).start().await;
    for served in ["public/hay-plugin-board/sub/deep.txt", "ui/hay-plugin-board/ui.js"] {
        assert_eq!(raw(&server, &format!("/plugins/{served}")).await.0, 200, "{served}");
    }
    for beside in [
        "public/hay-plugin-board/link.txt",
        "public/hay-plugin-board/plain.txt",
        "public/hay-plugin-board/up/secret.txt",
        "public/hay-plugin-board/etc/passwd",
        "public/hay-plugin-board/.htpasswd",
        "public/hay-plugin-board/.git/config",
        "public/hay-plugin-board/sub",
        "ui/hay-plugin-board/index.js",
        "ui/hay-plugin-board/ui.js.map",
        "ui/hay-plugin-board/.env",
        "ui/hay-plugin-board/assets/.env",
        "ui/hay-plugin-board/assets/page.html",
        "ui/hay-plugin-board/assets/link.txt",
        "ui/hay-plugin-board/assets/up/secret.txt",
        "ui/hay-plugin-board/assets/etc/passwd",
        "ui/hay-plugin-board/node_modules/x/ui.js",
        "ui/hay-plugin-board/manifest.json",
    ] {
        let path = format!("/plugins/{beside}");
        is_withheld(&path, &raw(&server, &path).await);
    }
}
