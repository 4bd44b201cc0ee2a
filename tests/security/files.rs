//! What a plugin reads and writes is its own: not the host's files, not another organization's, not its own code.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    HOSTILE, Outcome, PATIENCE, Setup, Verdicts, World, files_below, runtime_folder, until,
};

in_every_setup!(
    secrets_of_the_host_are_out_of_reach,
    another_organizations_files_are_out_of_reach,
    code_cannot_be_changed,
    traps_in_the_own_folder_hurt_nobody,
    nothing_is_left_for_the_next_run,
);

/// The folders of the attacker's own code and of what Node compiled of it, if the host keeps them.
fn own_folders(data: &Path) -> Vec<PathBuf> {
    let below =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let packages = data.join("packages");
    let versions = below(packages.join(HOSTILE));
    let compiled = below(packages.join(".starts").join(HOSTILE)).map(|start| start.join("compiled"));
    versions.chain(compiled).filter(|path| path.is_dir()).collect()
}

/// Whether a path is that of one of those, of something in it, or of a folder above it.
fn is_own(own: &[PathBuf], path: &Path) -> bool {
    own.iter().any(|own| own.starts_with(path) || path.starts_with(own))
}

async fn secrets_of_the_host_are_out_of_reach(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let data = world.server.data_folder();
    let mut paths: Vec<String> = [
        "/etc/shadow",
        "/etc/gshadow",
        "/root/.ssh/id_rsa",
        "/root/.ssh/authorized_keys",
        "/root/.bash_history",
        "/var/log/syslog",
        "/proc/1/environ",
        "/proc/kcore",
        "/proc/kallsyms",
        "/proc/sys/kernel/core_pattern",
        "/dev/mem",
        "/sys/kernel/security",
        "/run/docker.sock",
    ]
    .map(str::to_owned)
    .into();
    let mut host = vec![world.host_file.clone(), data.clone(), data.join("master-key"), data.join("scratch")];
    files_below(&data, &mut |file| host.push(file.to_owned()));
    // Its own code is shown to it, where that is kept; so the folders above have names, and nothing else in them.
    let own = own_folders(&data);
    host.retain(|path| !is_own(&own, path));
    paths.extend(host.iter().map(|path| path.display().to_string()));
    paths.extend(host.iter().map(|path| format!("/proc/self/root{}", path.display())));
    paths.extend(host.iter().map(|path| format!("/proc/{}/root{}", world.server.pid(), path.display())));
    paths.extend(
        host.iter()
            .map(|path| format!("{}/../../../../../..{}", world.plugins.path().display(), path.display())),
    );
    paths.extend(
        ["environ", "maps", "cmdline", "root/etc/shadow", "cwd"]
            .map(|file| format!("/proc/{}/{file}", world.server.pid())),
    );
    let code = "
        const all = [];
        for (const path of input) {
          all.push(await attempt(`read ${path}`, () => fs.readFileSync(path, 'utf8').slice(0, 80)));
          all.push(await attempt(`list ${path}`, () => fs.readdirSync(path)));
          all.push(await attempt(`write ${path}`, () => fs.closeSync(fs.openSync(path, 'r+'))));
        }
        return all;";
    let outcomes = world.run(&world.attacker, code, json!(paths)).await;
    for value in outcomes.as_array().unwrap() {
        let outcome = Outcome::read(value, "");
        // Kernel figures that a jail's own `/proc` has, empty or harmless for whoever has no rights.
        let own_proc = ["/proc/kallsyms", "/proc/sys/kernel/core_pattern", "/proc/1/environ"];
        let harmless = setup.has_namespaces()
            && !outcome.act.starts_with("write")
            && own_proc.iter().any(|path| outcome.act.ends_with(path));
        if !harmless {
            verdicts.refused(&outcome);
        }
        if setup.has_namespaces() && outcome.act.contains(&*world.server.folder().display().to_string()) {
            verdicts.refused_with(&outcome, &["ENOENT", "ENOTDIR"]);
        }
    }

    // Not even a name of the host's files is there.
    let walk = r"
        const found = [];
        const walk = (folder, depth) => {
          let names;
          try { names = fs.readdirSync(folder, { withFileTypes: true }); } catch (error) { return; }
          for (const entry of names) {
            const path = `${folder === '/' ? '' : folder}/${entry.name}`;
            found.push(path);
            if (entry.isDirectory() && depth < 12 && path !== '/proc' && entry.name !== 'node_modules') walk(path, depth + 1);
          }
        };
        walk('/', 0);
        return found;";
    let found = world.run(&world.attacker, walk, Value::Null).await;
    let found: Vec<_> = found.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    if setup.has_namespaces() {
        for path in &found {
            let known = [
                "/bin",
                "/dev",
                "/etc",
                "/lib",
                "/lib64",
                "/usr",
                "/tmp",
                "/proc",
                "/node_modules",
                "/work",
                "/root",
                "/home",
            ];
            let hidden = path.starts_with(&*world.server.folder().display().to_string())
                && !is_own(&own, Path::new(path))
                || path.contains("shadow")
                || path.contains(".ssh");
            verdicts.check(!hidden, || format!("the walk found {path}"));
            let repository = hayloft_testkit::workspace::root();
            verdicts.check(
                known.iter().any(|top| path.starts_with(top))
                    || repository.starts_with(path)
                    || path.starts_with(&*repository.display().to_string()),
                || format!("the walk found {path}"),
            );
        }
        verdicts.check(found.len() > 50, || format!("the walk found only {} paths", found.len()));
    } else {
        verdicts.check(found.is_empty(), || format!("the walk listed {:?}", &found[..found.len().min(10)]));
    }

    // The same acts on what is its own.
    let own = world
        .attempts(
            &world.attacker,
            &[
                ("read own code", "return fs.readFileSync(native).length"),
                ("list own code", "return fs.readdirSync(require('path').dirname(native))"),
                ("write own file", "fs.writeFileSync(process.env.HOME + '/own', 'x')"),
            ],
            Value::Null,
        )
        .await;
    own.iter().for_each(|outcome| verdicts.succeeded(outcome));
    verdicts.check(fs::read_to_string(&world.host_file).is_ok_and(|text| text == world.host_secret), || {
        "the host's file changed".into()
    });
    verdicts.done();
    world.end().await;
}

async fn another_organizations_files_are_out_of_reach(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let home = world.home(&world.victim).await;
    let planted = crate::harness::canary("planted");
    let plant = "
        fs.mkdirSync(process.env.HOME + '/box', { mode: 0o777 });
        fs.chmodSync;
        fs.writeFileSync(process.env.HOME + '/box/planted', input, { mode: 0o666 });
        globalThis.kept = fs.openSync(process.env.HOME + '/box/planted', 'r+');
        return fs.readFileSync(process.env.HOME + '/box/planted', 'utf8') + process.pid";
    let mine = world.run(&world.victim, plant, json!(planted)).await;
    assert!(mine.as_str().unwrap().starts_with(&planted));
    let inside: u64 = mine.as_str().unwrap()[planted.len()..].parse().unwrap();
    let victim = world.pids(&world.victim).await;
    let file = format!("{home}/box/planted");
    let input =
        json!({ "file": file, "home": home, "runner": victim.runner, "init": victim.init, "inside": inside });
    let forms = [
        ("its path", "input.file"),
        ("own root", "`/proc/self/root${input.file}`"),
        ("own thread's root", "`/proc/thread-self/root${input.file}`"),
        ("its root", "`/proc/${input.runner}/root${input.file}`"),
        ("its number inside", "`/proc/${input.inside}/root${input.file}`"),
        ("its init's root", "`/proc/${input.init}/root${input.file}`"),
        ("its home from its folder", "`/proc/${input.runner}/cwd/../../../../../..${input.file}`"),
        ("its descriptor", "`/proc/${input.runner}/fd/20`"),
        ("up from the own folder", "`${process.env.HOME}/../../../../../../..${input.file}`"),
        ("up from the code", "`${require('path').dirname(native)}/../../../../../..${input.file}`"),
        ("by the devices", "`/dev/fd/../root${input.file}`"),
        (
            "the same name beside the own home",
            "`${process.env.HOME}/../${require('path').basename(input.home)}/box/planted`",
        ),
    ];
    for (name, path) in forms {
        let acts = [
            (format!("read {name}"), format!("return fs.readFileSync({path}, 'utf8')")),
            (
                format!("write {name}"),
                format!("fs.appendFileSync({path}, 'overwritten', {{ flag: fs.constants.O_WRONLY }})"),
            ),
            (
                format!("link {name}"),
                format!(
                    "const link = process.env.HOME + '/link'; fs.linkSync({path}, link); return fs.readFileSync(link, 'utf8')"
                ),
            ),
            (
                format!("follow {name}"),
                format!(
                    "const link = process.env.HOME + '/symlink'; fs.rmSync(link, {{ force: true }}); fs.symlinkSync({path}, link); return fs.readFileSync(link, 'utf8')"
                ),
            ),
            (format!("rename {name}"), format!("fs.renameSync({path}, process.env.HOME + '/moved')")),
            (format!("delete {name}"), format!("fs.unlinkSync({path})")),
        ];
        let acts: Vec<_> = acts.iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
        for outcome in world.attempts(&world.attacker, &acts, input.clone()).await {
            verdicts.refused(&outcome);
            verdicts.check(!outcome.detail.contains(&planted), || {
                format!("it read the victim's file by {}", outcome.act)
            });
        }
    }
    // Listings tell nothing of the victim either; `end` looks for its id in all that was heard.
    for folder in [
        "/",
        "/tmp",
        "/proc",
        "/proc/self/root/tmp",
        "/dev/shm",
        &*world.server.data_folder().join("scratch").display().to_string(),
    ] {
        let listed =
            world.attempts(&world.attacker, &[("list", "return fs.readdirSync(input)")], json!(folder)).await;
        verdicts.check(!listed[0].detail.contains("planted") && !listed[0].detail.contains("box"), || {
            format!("{folder} shows {}", listed[0].detail)
        });
    }
    let still = world
        .run(&world.victim, "return fs.readFileSync(process.env.HOME + '/box/planted', 'utf8')", Value::Null)
        .await;
    verdicts.check(still == planted, || format!("the victim's file is now {still}"));
    verdicts.done();
    world.end().await;
}

/// What a folder holds: names, sizes, modes and contents.
fn picture(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut all = Vec::new();
    files_below(folder, &mut |file| {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        all.push((file.display().to_string(), mode, fs::read(file).unwrap()));
    });
    all.sort();
    all
}

async fn code_cannot_be_changed(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let before = (picture(world.plugins.path()), fs::read(runtime_folder().join("runner.cjs")).unwrap());
    let hash = world.worker(&world.attacker).await["contentHash"].clone();
    // What is the test's own may break; of the rest it is enough to know that it could be written.
    let gentle = [
        ("open for writing", "fs.closeSync(fs.openSync(file, 'r+'))"),
        (
            "link beside",
            "fs.symlinkSync('/dev/null', require('path').dirname(file) + '/evil-link'); fs.unlinkSync(require('path').dirname(file) + '/evil-link')",
        ),
        ("same time", "fs.utimesSync(file, fs.statSync(file).atime, fs.statSync(file).mtime)"),
        ("same mode", "fs.chmodSync(file, fs.statSync(file).mode)"),
    ];
    let rough = [
        ("append", "fs.appendFileSync(file, '//')"),
        ("truncate", "fs.truncateSync(file, 0)"),
        (
            "replace",
            "fs.writeFileSync(process.env.HOME + '/new', 'x'); fs.renameSync(process.env.HOME + '/new', file)",
        ),
        ("delete", "fs.unlinkSync(file)"),
        ("move", "fs.renameSync(file, file + '.old')"),
        ("folder beside", "fs.mkdirSync(require('path').dirname(file) + '/evil')"),
    ];
    let mut own = [
        "require('path').dirname(native) + '/index.js'",
        "require('path').dirname(native) + '/package.json'",
        "native",
    ]
    .map(String::from)
    .to_vec();
    // What Node compiled of it, which the next worker of any organization takes for the same code.
    let mut compiled = Vec::new();
    files_below(&world.server.data_folder().join("packages/.starts"), &mut |file| {
        if file.components().any(|part| part.as_os_str() == "compiled") {
            compiled.push(json!(file).to_string());
        }
    });
    // Nothing is compiled ahead where there is no jail to do it in.
    verdicts.check(compiled.is_empty() != setup.has_namespaces(), || format!("compiled: {compiled:?}"));
    own.extend(compiled.into_iter().take(1));
    let foreign = [
        "require('path').dirname(native) + '/node_modules/@hay/plugin-sdk/package.json'",
        "process.argv[1]",
        "process.execPath",
        "'/bin/sh'",
        "'/etc/ld.so.cache'",
    ]
    .map(String::from);
    let mut acts = Vec::new();
    for target in own.iter().chain(&foreign) {
        let rough = if own.contains(target) { rough.as_slice() } else { &[] };
        // The way to what is mounted below the jail's own `/tmp` is the jail's own, too, and goes with it.
        let own_way = setup.has_namespaces()
            && foreign.iter().take(3).any(|place| place == target)
            && hayloft_testkit::workspace::root().starts_with("/tmp");
        for (name, body) in gentle.iter().chain(rough).filter(|(name, _)| !own_way || *name != "link beside")
        {
            acts.push((
                format!("{name} {target}"),
                format!("const file = fs.realpathSync({target}); {body}"),
            ));
        }
    }
    let acts: Vec<_> = acts.iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
    for outcome in world.attempts(&world.attacker, &acts, Value::Null).await {
        verdicts.refused(&outcome);
    }
    let own = world
        .attempts(&world.attacker, &[("the same at home", "const file = process.env.HOME + '/mine'; fs.writeFileSync(file, 'x'); fs.appendFileSync(file, 'y'); fs.renameSync(file, file + '2'); fs.unlinkSync(file + '2')")], Value::Null)
        .await;
    verdicts.succeeded(&own[0]);
    // Another run has the same code.
    world.attacker.post(&format!("plugins/{HOSTILE}/restart"), &json!({})).await;
    verdicts.check(world.worker(&world.attacker).await["contentHash"] == hash, || {
        "the content hash changed".into()
    });
    let after = (picture(world.plugins.path()), fs::read(runtime_folder().join("runner.cjs")).unwrap());
    verdicts.check(before == after, || "files of the plugin or the runner changed".into());
    verdicts.done();
    world.end().await;
}

async fn traps_in_the_own_folder_hurt_nobody(setup: Setup) {
    let world = World::start(setup).await;
    let precious = world.server.folder().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "precious").unwrap();
    let traps = [
        ("link to a file", "fs.symlinkSync(input + '/file', home + '/a')"),
        ("link to a folder", "fs.symlinkSync(input, home + '/b')"),
        ("dangling link", "fs.symlinkSync(input + '/nothing', home + '/c')"),
        ("chain of links", "fs.symlinkSync('d2', home + '/d1'); fs.symlinkSync(input, home + '/d2')"),
        ("link to itself", "fs.symlinkSync('e', home + '/e')"),
        ("pipe", "require('child_process').execFileSync('/bin/sh', ['-c', 'mkfifo ' + home + '/f || true'])"),
        (
            "socket",
            "await new Promise((done, fail) => require('net').createServer().on('error', fail).listen(home + '/g', done))",
        ),
        ("deep folder", "let at = home; for (let i = 0; i < 300; i++) { at += '/h'; fs.mkdirSync(at); }"),
        ("odd names", "fs.writeFileSync(Buffer.from([...Buffer.from(home + '/'), 0xff, 0x0a, 0x1b]), 'x')"),
        ("closed folder", "fs.mkdirSync(home + '/i', { mode: 0 })"),
        (
            "many files",
            "fs.mkdirSync(home + '/many'); for (let i = 0; i < 3000; i++) fs.writeFileSync(home + '/many/' + i, '')",
        ),
    ];
    let traps: Vec<_> =
        traps.iter().map(|(name, body)| (*name, format!("const home = process.env.HOME; {body}"))).collect();
    let acts: Vec<_> = traps.iter().map(|(name, body)| (*name, body.as_str())).collect();
    let planted = world.attempts(&world.attacker, &acts, json!(precious)).await;
    let mut verdicts = Verdicts::new(setup);
    for outcome in planted
        .iter()
        .filter(|outcome| ["link to a file", "chain of links", "closed folder"].contains(&&*outcome.act))
    {
        verdicts.succeeded(outcome);
    }
    let device = world.attack(&["mknod", &format!("{}/device", world.home(&world.attacker).await)]).await;
    verdicts.refused(&device);
    let hard = world
        .attempts(
            &world.attacker,
            &[("hard link", "fs.linkSync(input, process.env.HOME + '/hard')")],
            json!(world.host_file),
        )
        .await;
    verdicts.refused(&hard[0]);
    // The host deletes the folder now.
    let home = world.home(&world.attacker).await;
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    if !setup.has_namespaces() {
        until("the folder to go", PATIENCE, async || !Path::new(&home).exists()).await;
    }
    verdicts.check(fs::read_to_string(precious.join("file")).is_ok_and(|text| text == "precious"), || {
        "a trap reached a file of the host".into()
    });
    world.victim_works().await;
    verdicts.done();
    world.end().await;
}

async fn nothing_is_left_for_the_next_run(setup: Setup) {
    let world = World::start(setup).await;
    let mut verdicts = Verdicts::new(setup);
    let mark = crate::harness::canary("left");
    let places = [
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/passwd",
        "/etc/ld.so.preload",
        "/usr/lib/evil.so",
        "/node_modules/evil/index.js",
        "/dev/shm/left",
        "/var/tmp/left",
        "/evil",
    ];
    let poison = places.map(|path| (format!("write {path}"), format!("fs.writeFileSync('{path}', input)")));
    let acts: Vec<_> = poison.iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
    for outcome in world.attempts(&world.attacker, &acts, json!(mark)).await {
        verdicts.refused(&outcome);
    }
    let keep = [
        ("a file at home", "fs.writeFileSync(process.env.HOME + '/left', input)"),
        (
            "a compile cache",
            "require('module').enableCompileCache?.(process.env.HOME + '/cache'); require('child_process')",
        ),
        ("a global", "globalThis.left = input; process.env.LEFT = input; Object.prototype.left = input"),
    ];
    for outcome in world.attempts(&world.attacker, &keep, json!(mark)).await {
        verdicts.succeeded(&outcome);
    }
    let first = world.pids(&world.attacker).await;
    world.attacker.delete(&format!("plugins/{HOSTILE}")).await.expect(200);
    world.attacker.enable(HOSTILE, json!({ "secret": world.secrets[0] })).await;
    let look = "
        const read = (path) => { try { return fs.readFileSync(path, 'utf8'); } catch { return ''; } };
        return [JSON.stringify(process.env), String(globalThis.left), String({}.left), JSON.stringify(fs.readdirSync(process.env.HOME)),
          ...input.map(read)].join('\\n');";
    for who in [&world.attacker, &world.victim] {
        let seen = world.run(who, look, json!(places)).await;
        verdicts.check(
            !seen.as_str().unwrap().contains(&mark) && !seen.as_str().unwrap().contains("left"),
            || format!("a later run saw what an earlier one left: {seen}"),
        );
    }
    verdicts.check(world.pids(&world.attacker).await.runner != first.runner, || {
        "the same worker served again".into()
    });
    verdicts.done();
    world.end().await;
}
