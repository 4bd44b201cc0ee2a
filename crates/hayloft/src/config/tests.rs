//! Which source wins, and what is said about what is wrong.

use std::fs;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::*;

/// Loads a file's text, variables and flags. The text is put into a file of its own.
fn check(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &[&str])],
) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hayloft.toml");
    fs::write(&path, file).unwrap();
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let flags = flags
        .iter()
        .map(|(key, name, values)| Flag {
            key,
            name,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        })
        .collect();
    load(Sources { file: Some(&path), environment: &environment, flags })
        .map_err(|problems| problems.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn shown<'l>(loaded: &'l Loaded, key: &str) -> &'l ShownSetting {
    loaded.shown.iter().find(|setting| setting.key == key).unwrap()
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = "[server]\nlisten = \"127.0.0.1:2\"\n";
    let variable = [("HAYLOFT_LISTEN", "127.0.0.1:3")];
    let flag: [(&str, &str, &[&str]); 1] = [("server.listen", "--listen", &["127.0.0.1:4"])];
    let cases = [
        (check("", &[], &[]), 3001, "default"),
        (check(file, &[], &[]), 2, "hayloft.toml"),
        (check("", &variable, &[]), 3, "environment: HAYLOFT_LISTEN"),
        (check(file, &variable, &[]), 3, "environment: HAYLOFT_LISTEN"),
        (check(file, &[], &flag), 4, "flag: --listen"),
        (check(file, &variable, &flag), 4, "flag: --listen"),
    ];
    for (loaded, port, origin) in cases {
        let loaded = loaded.unwrap();
        assert_eq!(loaded.config.server.listen.port(), port);
        let setting = shown(&loaded, "server.listen");
        assert_eq!(setting.value.as_deref(), Some(format!("127.0.0.1:{port}").as_str()));
        assert!(setting.origin.ends_with(origin), "{}", setting.origin);
    }
}

#[test]
fn lists_come_from_arrays_commas_and_repeated_flags() {
    let dirs = |loaded: Result<Loaded, String>| {
        let dirs = loaded.unwrap().config.plugins.dirs;
        dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(dirs(check("", &[], &[])), ["./plugins"]);
    assert_eq!(dirs(check("[plugins]\ndirs = [\"a\", \"b\"]", &[], &[])), ["a", "b"]);
    assert_eq!(dirs(check("", &[("HAYLOFT_PLUGINS_DIR", "a, b")], &[])), ["a", "b"]);
    assert_eq!(dirs(check("", &[], &[("plugins.dirs", "--plugins-dir", &["a", "b"])])), ["a", "b"]);
    assert_eq!(dirs(check("[plugins]\ndirs = [\"a\", \"b\"]", &[("HAYLOFT_PLUGINS_DIR", "c")], &[])), ["c"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let file = r#"
        listen = "127.0.0.1:1"
        [server]
        lisen = "127.0.0.1:1"
        trusted_proxies = ["10.0.0.0/99"]
        [limits]
        on_start = 30
        idle = "5 minutes"
        connections = "many"
        request_body = { mib = 10 }
        [plugins.environment_grants]
        "Bad Name" = ["X"]
        [nowhere]
        x = 1
    "#;
    let variables = [("HAYLOFT_ISOLATION", "Z"), ("HAYLOFT_LIMITS_DRAIN", "soon")];
    insta::assert_snapshot!(check(file, &variables, &[]).unwrap_err(), @r"
    error: hayloft.toml: listen: is not a setting
      hint: did you mean `server.listen`?
    error: hayloft.toml: nowhere: is not a setting
      hint: `hayloft config show` lists all settings
    error: hayloft.toml: server.lisen: is not a setting
      hint: did you mean `server.listen`?
    error: hayloft.toml: limits.on_start: must be a duration such as `30s`, `250ms` or `5m`
    error: hayloft.toml: limits.idle: must be a duration such as `30s`, `250ms` or `5m`
    error: environment: HAYLOFT_LIMITS_DRAIN: limits.drain: must be a duration such as `30s`, `250ms` or `5m`
    error: hayloft.toml: limits.request_body: must be one value, not a list or a table
    error: hayloft.toml: limits.connections: must be a whole number that is not too large
    error: hayloft.toml: server.trusted_proxies: `10.0.0.0/99` is not an IP address or a range such as `10.0.0.0/8`
    error: hayloft.toml: plugins.environment_grants: `Bad Name` is not a plugin id (an npm package name: lower-case letters, digits, `-`, `_`, `.`, at most 214 characters, optionally `@scope/name`)
    error: environment: HAYLOFT_ISOLATION: runtime.isolation: `Z` is not a tier of isolation (`A`, `B`, `C` or `off`)
    ");
}

#[test]
fn what_is_no_toml_has_its_line() {
    let error = check("[server]\nlisten = \n", &[], &[]).unwrap_err();
    assert!(error.starts_with("error: hayloft.toml: ") && error.contains("line 2"), "{error}");
}

#[test]
fn secrets_are_masked() {
    let variables =
        [("HAYLOFT_ADMIN_TOKEN", "canary-token"), ("HAYLOFT_DATABASE_URL", "postgres://u:canary@h/d")];
    let loaded = check("", &variables, &[]).unwrap();
    assert_eq!(loaded.config.storage.admin_token.as_ref().unwrap().expose(), "canary-token");
    assert!(!format!("{loaded:?}").contains("canary"));
}

#[test]
fn grants_are_by_plugin() {
    let loaded = check("[plugins.environment_grants]\n\"@acme/tickets\" = [\"DB_URL\"]", &[], &[]).unwrap();
    let plugin = "@acme/tickets".parse().unwrap();
    assert!(loaded.config.plugins.environment_grants[&plugin].contains("DB_URL"));
}

#[test]
fn limits_are_bounded_by_what_the_operator_allows() {
    let file = r#"
        [limits]
        worker_memory = "2GiB"
        worker_tasks = 8
        worker_processor = "all"
        maximum_worker_memory = "1536MiB"
        maximum_worker_temporary = "1KiB"
        [plugins.limits]
        hay-plugin-a = { memory = "2GiB", tasks = 2048, processor = 400 }
        hay-plugin-b = { memory = "2 gigabytes", files = 1 }
        hay-plugin-c = "2GiB"
        "Bad Name" = { tasks = 64 }
    "#;
    insta::assert_snapshot!(check(file, &[], &[]).unwrap_err(), @r#"
    error: hayloft.toml: limits.maximum_worker_temporary: is 1KiB, too little for a worker to start: it needs at least 1MiB
    error: hayloft.toml: limits.worker_memory: is 2GiB, and `limits.maximum_worker_memory` allows at most 1536MiB
    error: hayloft.toml: limits.worker_tasks: is 8, too little for a worker to start: it needs at least 32
    error: hayloft.toml: limits.worker_processor: must be a whole number
    error: hayloft.toml: plugins.limits: `Bad Name` is not a plugin id (an npm package name: lower-case letters, digits, `-`, `_`, `.`, at most 214 characters, optionally `@scope/name`)
    error: hayloft.toml: plugins.limits."hay-plugin-a".memory: is 2GiB, and `limits.maximum_worker_memory` allows at most 1536MiB
    error: hayloft.toml: plugins.limits."hay-plugin-a".tasks: is 2048, and `limits.maximum_worker_tasks` allows at most 1024
    error: hayloft.toml: plugins.limits."hay-plugin-b".files: is no limit of a plugin; there are `memory`, `tasks`, `processor`, `temporary`
    error: hayloft.toml: plugins.limits."hay-plugin-b".memory: must be a size such as `"512MiB"` or a number of bytes
    error: hayloft.toml: plugins.limits."hay-plugin-c": must be a table, such as `"hay-plugin-a" = { memory = "2GiB" }`
    "#);

    let file = r#"
        [limits]
        worker_memory = "768MiB"
        worker_processor = 50
        [plugins.limits]
        hay-plugin-a = { memory = "4GiB", tasks = 64 }
    "#;
    let loaded = check(file, &[("HAYLOFT_LIMITS_WORKER_TASKS", "100")], &[]).unwrap();
    let resources = loaded.config.limits.resources;
    assert_eq!((resources.memory, resources.processor, resources.tasks), (768 << 20, 50, 100));
    let plugin = loaded.config.plugins.limits[&"hay-plugin-a".parse().unwrap()];
    assert_eq!((plugin.memory, plugin.tasks, plugin.processor), (Some(4 << 30), Some(64), None));
    let told = shown(&loaded, "plugins.limits").value.as_deref();
    assert_eq!(told, Some("hay-plugin-a: memory 4GiB; hay-plugin-a: tasks 64"));
}

#[test]
fn as_many_plugins_are_loaded_at_once_as_the_processors_bear() {
    let at_once = |file: &str| check(file, &[], &[]).unwrap().config.limits.starts.at_once.get();
    let all = std::thread::available_parallelism().unwrap().get();
    assert_eq!(at_once(""), 2 * all);
    assert_eq!(at_once("[limits]\nstarts_at_once = 7"), 7);
    // On a single one of them, which only this thread is.
    let single = std::thread::scope(|scope| {
        let on_one = scope.spawn(|| {
            let of_all = sched_getaffinity(None).unwrap();
            let mut one = CpuSet::new();
            one.set((0..CpuSet::MAX_CPU).find(|processor| of_all.is_set(*processor)).unwrap());
            sched_setaffinity(None, &one).unwrap();
            (at_once(""), at_once("[limits]\nstarts_at_once = 7"))
        });
        on_one.join().unwrap()
    });
    assert_eq!(single, (2, 7));
}

#[test]
fn soft_memory_is_for_all_and_for_single_plugins() {
    let file = r#"
        [limits]
        soft_memory = "512MiB"
        throttle_above = 25
        [plugins.soft_memory]
        hay-plugin-a = "256MiB"
        "@acme/b" = 1048576
    "#;
    let loaded = check(file, &[("HAYLOFT_LIMITS_RECYCLE_PAUSE", "2m")], &[]).unwrap();
    let Limits { soft_memory, sampling, .. } = loaded.config.limits;
    assert_eq!((soft_memory, sampling.throttle_above), (Some(512 << 20), 25));
    assert_eq!(sampling.recycle_pause, Duration::from_secs(120));
    let of = |plugin: &str| loaded.config.plugins.soft_memory[&plugin.parse().unwrap()];
    assert_eq!((of("hay-plugin-a"), of("@acme/b")), (256 << 20, 1 << 20));
    assert_eq!(
        shown(&loaded, "plugins.soft_memory").value.as_deref(),
        Some("@acme/b: 1MiB; hay-plugin-a: 256MiB")
    );
    assert_eq!(check("", &[], &[]).unwrap().config.limits.soft_memory, None);

    let file = r#"
        [limits]
        soft_memory = "much"
        throttle_above = -1
        [plugins.soft_memory]
        hay-plugin-a = "little"
        "Bad Name" = "1MiB"
    "#;
    insta::assert_snapshot!(check(file, &[], &[]).unwrap_err(), @r#"
    error: hayloft.toml: limits.throttle_above: must be a whole number that is not too large
    error: hayloft.toml: limits.soft_memory: must be a size such as `256MiB` or a number of bytes
    error: hayloft.toml: plugins.soft_memory: `Bad Name` is not a plugin id (an npm package name: lower-case letters, digits, `-`, `_`, `.`, at most 214 characters, optionally `@scope/name`)
    error: hayloft.toml: plugins.soft_memory."hay-plugin-a": must be a size such as `"256MiB"` or a number of bytes
    "#);
}

#[test]
fn a_stranger_in_the_environment_is_only_a_warning() {
    let loaded = check("", &[("HAYLOFT_LISTN", "x"), ("HAYLOFT_URL", "x"), ("OTHER", "x")], &[]).unwrap();
    assert_eq!(
        loaded.warnings.to_string(),
        "warning: environment: HAYLOFT_LISTN: is not a setting and is ignored\n  hint: did you mean `HAYLOFT_LISTEN`?"
    );
}

#[test]
fn a_named_file_must_be_there() {
    let environment = HashMap::new();
    let sources =
        Sources { file: Some(Path::new("/nowhere/h.toml")), environment: &environment, flags: Vec::new() };
    assert!(load(sources).unwrap_err().to_string().contains("/nowhere/h.toml"));
}

#[test]
fn every_setting_is_read_once_and_has_its_own_names() {
    let loaded = check("", &[], &[]).unwrap();
    let mut read: Vec<_> = loaded.shown.iter().map(|setting| setting.key).collect();
    let mut listed: Vec<_> = settings().map(|setting| setting.key).collect();
    read.sort_unstable();
    listed.sort_unstable();
    assert_eq!(read, listed);
    let variables: BTreeSet<_> = settings().map(|setting| setting.variable).collect();
    assert_eq!(variables.len(), listed.len());
    assert!(variables.iter().all(|name| name.starts_with("HAYLOFT_")));
}

#[test]
fn the_network_is_granted_by_plugin_and_everything_wrong_is_said() {
    let file = r#"
        [network]
        default = "public"
        connections = 7
        [network.grants]
        hay-plugin-a = ["api.example.com", "db.example.com:5432"]
        [network.private]
        "@acme/b" = ["db.internal:5432=10.0.0.5"]
    "#;
    let loaded = check(file, &[("HAYLOFT_NETWORK_DECLARED", "deny")], &[]).unwrap();
    let network = &loaded.config.network;
    assert_eq!((network.default.to_string(), network.declared.to_string()), ("public".into(), "deny".into()));
    assert_eq!(network.limits.connections, 7);
    assert_eq!(network.grants[&"hay-plugin-a".parse().unwrap()].len(), 2);
    assert_eq!(network.private[&"@acme/b".parse().unwrap()][0].address.to_string(), "10.0.0.5:5432");
    let grants = shown(&loaded, "network.grants");
    assert_eq!(grants.value.as_deref(), Some("hay-plugin-a: api.example.com, db.example.com:5432"));

    let ports: Vec<_> = (1..=25).map(|port| format!("\"c.example.com:{port}\"")).collect();
    let file = format!(
        r#"
        [network]
        default = "private"
        [network.grants]
        "Bad Name" = ["a.example.com"]
        hay-plugin-a = ["*.example.com", "10.0.0.5", "a.example.com:0", "localhost"]
        hay-plugin-b = [{}]
        [network.private]
        hay-plugin-a = ["db.internal=10.0.0.5", "*:5432=10.0.0.5", "db.internal:5432=0.0.0.0"]
        "#,
        ports.join(", ")
    );
    insta::assert_snapshot!(check(&file, &[], &[]).unwrap_err(), @r#"
    error: hayloft.toml: network.default: must be `deny` or `public`
    error: hayloft.toml: network.grants: `Bad Name` is not a plugin id (an npm package name: lower-case letters, digits, `-`, `_`, `.`, at most 214 characters, optionally `@scope/name`)
    error: hayloft.toml: network.grants."hay-plugin-a": `*.example.com` has a wildcard; each host is named by itself
    error: hayloft.toml: network.grants."hay-plugin-a": `10.0.0.5` is an address; a host is named, and its address is looked up and checked
    error: hayloft.toml: network.grants."hay-plugin-a": `a.example.com:0` has no port between 1 and 65535 behind its colon
    error: hayloft.toml: network.grants."hay-plugin-a": `localhost` is the worker's own name for itself or for its host, which needs no entry
    error: hayloft.toml: network.private."hay-plugin-a": `db.internal=10.0.0.5` must be `HOST:PORT=ADDRESS` or `HOST:PORT=ADDRESS:PORT`
    error: hayloft.toml: network.private."hay-plugin-a": `*:5432=10.0.0.5` names `*:5432`, which has a wildcard; each host is named by itself
    error: hayloft.toml: network.private."hay-plugin-a": `db.internal:5432=0.0.0.0` names `0.0.0.0`, which is not the address of one machine
    error: hayloft.toml: network.grants: `hay-plugin-b` is granted 25 different ports here and in `network.private`; at most 24 can be
    "#);
}
