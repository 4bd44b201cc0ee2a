//! Exactly what a worker finds: mounts, files, descriptors, variables, rights and limits. Whatever is added to the
//! jail shows up here.

use std::collections::BTreeSet;
use std::fs;

use hayloft_testkit::workspace;
use serde_json::{Map, Value, json};

use crate::harness::{Setup, World};

in_every_setup!(a_worker_finds_exactly_this);

const LOOK: &str = r"
    const read = (path) => { try { return fs.readFileSync(path, 'utf8'); } catch (error) { return error.code; } };
    const list = (path) => { try { return fs.readdirSync(path).sort(); } catch (error) { return error.code; } };
    const link = (path) => { try { return fs.readlinkSync(path); } catch (error) { return error.code; } };
    return {
      mountinfo: read('/proc/self/mountinfo'),
      root: list('/'), etc: list('/etc'), dev: list('/dev'), tmp: list('/tmp'), home: list(process.env.HOME),
      devices: (Array.isArray(list('/dev')) ? list('/dev') : []).map((name) => `${name} ${link('/dev/' + name)}`),
      processes: Array.isArray(list('/proc')) ? list('/proc').filter((name) => /^\d+$/.test(name)).length : list('/proc'),
      files: Object.fromEntries(['passwd', 'group', 'hosts', 'hostname', 'nsswitch.conf', 'resolv.conf'].map((name) => [name, read('/etc/' + name)])),
      host: require('os').hostname(), user: process.getuid(), group: process.getgid(), groups: process.getgroups(),
      network: Object.fromEntries(Object.entries((() => { try { return require('os').networkInterfaces(); } catch (error) { return {}; } })()).map(([name, all]) => [name, all.map((one) => one.cidr)])),
      environment, variables: Object.keys(process.env).sort(),
      descriptors: Object.fromEntries(Object.entries(descriptors).filter(([number]) => number < 5).map(([number, target]) => [number, target.replace(/\d+/g, 'N')])),
      cwd: process.cwd(), session: read('/proc/self/stat').split(') ')[1]?.split(' ').slice(4, 5)[0],
    };";

/// Lines of a worker's `status` that say what it may do.
const RIGHTS: [&str; 8] =
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"];

async fn a_worker_finds_exactly_this(setup: Setup) {
    let world = World::start(setup).await;
    let mut found = world.run(&world.attacker, LOOK, Value::Null).await;
    let pid = world.pids(&world.attacker).await.runner;
    let proc = |file: &str| {
        fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|error| error.to_string())
    };
    let home = found["environment"]["HOME"].as_str().unwrap().to_owned();
    let mut names = Names {
        pairs: vec![
            (world.plugins.path().display().to_string(), "[plugins]"),
            (world.plugins.path().file_name().unwrap().display().to_string(), "[plugins]"),
            (home, "[home]"),
            (world.server.folder().display().to_string(), "[server]"),
            (world.server.folder().file_name().unwrap().display().to_string(), "[server]"),
            (workspace::root().display().to_string(), "[repository]"),
        ],
    };
    // A place within another one is told first.
    names.pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    let mounts = mounts(found["mountinfo"].as_str().unwrap(), &names);
    found["mounts"] = if setup.has_namespaces() { json!(mounts) } else { json!("those of the host") };
    let object = found.as_object_mut().unwrap();
    object.remove("mountinfo");
    if !setup.has_namespaces() {
        // Facts about the machine that nothing hides in this tier.
        for fact in ["host", "network", "user", "group", "groups"] {
            object.remove(fact);
        }
    }
    let status = proc("status");
    let rights: Map<String, Value> = status
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .filter(|(name, _)| RIGHTS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.trim().into()))
        .collect();
    found["rights"] = Value::Object(rights);
    let map = |file: &str| -> Vec<String> { proc(file).split_whitespace().map(str::to_owned).collect() };
    if setup.has_namespaces() {
        // Inside, outside, count: outside it is another one for each jail.
        let (users, groups) = (map("uid_map"), map("gid_map"));
        found["maps"] = json!([users[0], users[2], groups[0], groups[2], proc("setgroups").trim()]);
    }
    let limits: Vec<String> = proc("limits")
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let of_us =
        ["Max core", "Max open", "Max file size", "Max data", "Max locked", "Max msgqueue", "Max processes"];
    let counted = |line: &&String| of_us.iter().any(|name| line.starts_with(name));
    found["limits"] = json!(
        limits
            .iter()
            .filter(counted)
            .filter(|line| !line.starts_with("Max processes") || setup != Setup::OrdinaryLandlock)
            .collect::<Vec<_>>()
    );
    hide_places(&mut found);
    let shown = names.replace_all(&found);
    let kind = match setup {
        Setup::Strongest => "strongest",
        Setup::Ordinary => "ordinary",
        Setup::Landlock => "landlock",
        Setup::OrdinaryLandlock => "ordinary_landlock",
        Setup::Unjailed => "unjailed",
    };
    insta::assert_snapshot!(format!("a_worker_finds_{kind}"), format!("{shown:#}"));
    world.end().await;
}

/// The folder that the repository happens to lie in, and the name of the host's data folder in its marks.
fn hide_places(found: &mut Value) {
    let repository = workspace::root();
    let first = repository.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    if let Some(names) = found["root"].as_array_mut() {
        let own = |name: &Value| OWN_FOLDERS.contains(&name.as_str().unwrap_or_default());
        names.retain(|name| own(name) || name.as_str() != first.as_deref());
    }
    // The way to what is mounted below the jail's own `/tmp` lies in it.
    let below = repository.strip_prefix("/tmp").ok().and_then(|below| below.components().next());
    if let Some(below) = below.map(|part| part.as_os_str().to_string_lossy().into_owned()) {
        for folder in ["tmp", "home"] {
            if let Some(names) = found[folder].as_array_mut() {
                names.retain(|name| name.as_str() != Some(&*below));
            }
        }
    }
    if let Some(Value::String(mark)) = found["environment"].get_mut("HAYLOFT_WORKER") {
        let (owner, worker) = mark.split_once('/').unwrap();
        assert!(owner.len() == 16 && owner.bytes().all(|byte| byte.is_ascii_hexdigit()), "{mark}");
        *mark = format!("[owner]/{worker}");
    }
}

/// What every jail has in its root.
const OWN_FOLDERS: [&str; 9] = ["bin", "dev", "etc", "lib", "lib64", "node_modules", "proc", "tmp", "usr"];

/// What is called otherwise on every machine and in every run.
struct Names {
    pairs: Vec<(String, &'static str)>,
}

impl Names {
    fn replace(&self, text: &str) -> String {
        let text = self.pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        hayloft_testkit::redact(&text)
    }

    fn replace_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.replace(text).into(),
            Value::Array(all) => all.iter().map(|value| self.replace_all(value)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.replace_all(value))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

/// Place, options and kind of each mount, the C library's files as one.
fn mounts(mountinfo: &str, names: &Names) -> BTreeSet<String> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (own, rest) = line.split_once(" - ")?;
            let own: Vec<_> = own.split(' ').collect();
            let (place, options) = (own[4], own[5]);
            let kind = rest.split(' ').next()?;
            let options: Vec<_> = options.split(',').filter(|option| !option.ends_with("atime")).collect();
            let library = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"]
                .iter()
                .any(|folder| place.starts_with(folder));
            let place = if library { "[library]".to_owned() } else { names.replace(place) };
            // Of what is the host's own only the place counts, not which file system it is on.
            let of_jail = ["tmpfs", "proc"].contains(&kind) && ["/", "/tmp", "/proc"].contains(&own[4]);
            let size = rest.split(',').filter(|option| {
                of_jail
                    && (option.starts_with("size=")
                        || option.starts_with("nr_inodes=")
                        || option.starts_with("mode="))
            });
            let size: Vec<_> = size.collect();
            Some(
                format!(
                    "{place} {} {} {}",
                    options.join(","),
                    if of_jail { kind } else { "bind" },
                    size.join(",")
                )
                .trim()
                .to_owned(),
            )
        })
        .collect()
}
