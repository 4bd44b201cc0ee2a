//! Whatever is wrong with a newer version is a problem with its place, and the version before goes on serving.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use hayloft_testkit::{Organization, PluginFolder, TestServerBuilder};
use serde_json::{Value, json};

use crate::packages::{PATIENCE, installed, with_registry};
use crate::support::{listed, one_tool, text_of, until, until_within};

const ID: &str = "hay-plugin-v";

/// A newer version: what is changed in its manifests, what else lies in its folder, and what is then said.
struct Bad {
    what: &'static str,
    package: Value,
    network: Value,
    entry: &'static str,
    files: &'static [(&'static str, &'static str)],
    links: &'static [(&'static str, &'static str)],
    at: &'static str,
    message: &'static str,
}

impl Default for Bad {
    fn default() -> Self {
        Self {
            what: "nothing",
            package: json!({}),
            network: json!([]),
            entry: "./index.js",
            files: &[],
            links: &[],
            at: "",
            message: "",
        }
    }
}

/// A plugin's folder, which is exchanged for each version.
struct Folder {
    plugins: PluginFolder,
    version: u32,
}

impl Folder {
    fn root(&self) -> PathBuf {
        self.plugins.path().join(ID)
    }

    /// Writes a version in the place of the one before. The folder is watched, so it is exchanged at once.
    fn write(&mut self, bad: &Bad) -> String {
        self.version += 1;
        let version = format!("{}.0.0", self.version);
        let staged = PluginFolder::new();
        let entry = format!(
            "import {{ defineHayPlugin }} from '@hay/plugin-sdk';\nexport default defineHayPlugin(() => ({{ name: 'v', async onStart(ctx) {{ await ctx.mcp.startLocal('main', () => ({})); }} }}));",
            one_tool(&format!("return {{ content: [{{ type: 'text', text: '{version}' }}] }};"))
        );
        let mut manifest = json!({
            "name": ID, "version": version, "type": "module",
            "hay-plugin": {
                "entry": bad.entry, "displayName": "V", "category": "tool", "capabilities": ["mcp"],
                "network": bad.network,
            },
        });
        manifest.as_object_mut().unwrap().extend(bad.package.as_object().unwrap().clone());
        let mut files = staged.plugin(ID).file("index.js", entry).manifest(&manifest);
        for (name, text) in bad.files {
            files = files.file(name, text);
        }
        for (name, target) in bad.links {
            symlink(target, files.root().join(name)).unwrap();
        }
        let (root, old) = (self.root(), staged.path().join("old"));
        if root.exists() {
            fs::rename(&root, old).unwrap();
        }
        fs::rename(files.root(), root).unwrap();
        version
    }
}

async fn said(organization: &Organization) -> String {
    listed(organization, "v__act").await;
    text_of(organization.call_tool("v__act", json!({})).await)
}

async fn each_leaves_the_one_before_in_service(server: TestServerBuilder, bad: &[Bad]) {
    let mut folder = Folder { plugins: PluginFolder::new(), version: 0 };
    let first = folder.write(&Bad::default());
    let server = server.plugins(folder.plugins.path()).start().await;
    let acme = server.organization("Acme").await;
    let shown = installed(&acme, ID).await;
    assert_eq!(shown["state"], "ready", "{shown:#}");
    assert_eq!(said(&acme).await, first);
    for bad in bad {
        folder.write(bad);
        let mut problems = Value::Null;
        until_within(PATIENCE, bad.what, async || {
            problems = acme.get(&format!("plugins/{ID}")).await.expect(200).json()["problems"].clone();
            let mut all = problems.as_array().unwrap().iter();
            all.any(|problem| {
                let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
                text("at").starts_with(bad.at)
                    && text("message").starts_with("its newer version is not used")
                    && text("message").contains(bad.message)
            })
        })
        .await;
        assert_eq!(said(&acme).await, first, "{}: {problems:#}", bad.what);
        assert_eq!(acme.get(&format!("plugins/{ID}")).await.expect(200).json()["state"], "ready");
    }
    // What is right takes over after all of that.
    let last = folder.write(&Bad::default());
    until("the last version", async || said(&acme).await == last).await;
}

const LYING_LOCKFILE: &str = r#"{ "name": "hay-plugin-v", "version": "1.0.0", "lockfileVersion": 3, "packages": {
  "": { "name": "hay-plugin-v", "version": "1.0.0", "dependencies": { "is-number": "7.0.0" } },
  "node_modules/is-number": { "version": "7.0.0", "resolved": "https://registry.npmjs.org/is-number/-/is-number-7.0.0.tgz",
    "integrity": "sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==" } } }"#;

fn built(script: &str) -> Value {
    json!({ "scripts": { "build": script } })
}

#[tokio::test]
async fn what_cannot_be_made() {
    let of = |what, at, message| Bad { what, at, message, entry: "./dist/index.js", ..Bad::default() };
    let bad = [
        Bad {
            package: json!({ "dependencies": { "is-number": "7.0.0" } }),
            files: &[("package-lock.json", LYING_LOCKFILE)],
            entry: "./index.js",
            ..of("a lockfile that lies", "package-lock.json", "something else than the lockfile says")
        },
        Bad {
            package: built("sleep 1000"),
            ..of("a build that hangs", "npm run build", "did not end within the 5 seconds")
        },
        Bad {
            package: built("cat /dev/zero > large"),
            ..of("a build that fills the disk", "package", "needs more room than the 64 MiB")
        },
        Bad {
            package: built("mkdir dist && cp index.js dist && ln -s /etc/passwd dist/link"),
            ..of("a build that plants a link", "dist/link", "outside of the package")
        },
        Bad {
            package: built("mkdir dist && ln -s ../../../../etc/passwd dist/index.js"),
            ..of("an entry that is a link", "dist/index.js", "outside of the package")
        },
    ];
    let server =
        with_registry().environment("HAYLOFT_BUILD_TIME", "5s").environment("HAYLOFT_INSTALL_DISK", "64MiB");
    each_leaves_the_one_before_in_service(server, &bad).await;
}

#[tokio::test]
async fn what_cannot_be_fetched() {
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = with_registry()
        .environment("HAYLOFT_REGISTRY", "http://registry.test:4873/")
        .environment("HAYLOFT_REGISTRY_ADDRESS", &format!("registry.test:4873={closed}"));
    let bad = [Bad {
        what: "a registry that is down",
        package: json!({ "dependencies": { "is-number": "7.0.0" } }),
        at: "registry",
        message: "cannot be reached",
        ..Bad::default()
    }];
    each_leaves_the_one_before_in_service(server, &bad).await;
}

#[tokio::test]
async fn what_cannot_be_read() {
    let entry = |entry, what| Bad { what, entry, at: "package.json#hay-plugin.entry", ..Bad::default() };
    let network = |host: &str, what, message| Bad {
        what,
        network: json!([host]),
        at: "package.json#hay-plugin.network[0]",
        message,
        ..Bad::default()
    };
    let bad = [
        entry("../hay-plugin-v/index.js", "an entry that goes up"),
        entry("/etc/passwd", "an entry elsewhere"),
        Bad { links: &[("out.js", "/etc/passwd")], ..entry("./out.js", "an entry that leads outside") },
        network("*.example.com", "a wildcard", "has a wildcard"),
        network("10.0.0.5", "an address", "is an address"),
        network("[::1]:443", "an address of the sixth version", "is an address"),
        network("api.example.com:0", "port 0", "has no port between 1 and 65535"),
        Bad {
            what: "a link that leads outside",
            links: &[("planted", "/etc/passwd")],
            at: "planted",
            message: "outside of the package",
            ..Bad::default()
        },
    ];
    each_leaves_the_one_before_in_service(with_registry(), &bad).await;
}
