//! What is in the jail: which paths, which links, which limits, which environment.

use std::path::{Path, PathBuf};

use hayloft_sandbox::{JailSpec, Limits, Temporary};

use super::Fittings;
use crate::components;

/// Folders of the system with the programs that build scripts call.
const SYSTEM: [&str; 6] = ["/bin", "/usr/bin", "/lib", "/lib64", "/usr/lib", "/usr/lib64"];

pub(super) fn spec(fittings: &Fittings<'_>) -> JailSpec {
    let Fittings { toolchain, limits, .. } = fittings;
    let found = || fittings.provided.iter().chain(fittings.at_hand);
    let mut paths = vec![fittings.source.to_owned(), toolchain.node.clone()];
    paths.extend(SYSTEM.map(PathBuf::from).into_iter().filter(|folder| folder.exists()));
    paths.extend(toolchain.npm.clone());
    paths.extend(toolchain.esbuild.clone());
    let compiler = toolchain.components.as_ref();
    paths.extend(
        compiler.into_iter().flat_map(|compiler| [compiler.program.clone(), compiler.esbuild.clone()]),
    );
    paths.extend(found().map(|package| package.path.clone()));
    // Node and compilers look for packages in all folders above the plugin's, and this is above all of them: what a
    // plugin brings itself always comes first.
    let mut links: Vec<_> = found()
        .map(|package| (Path::new("/node_modules").join(&package.name), package.path.clone()))
        .collect();
    for (place, program) in
        [("/usr/local/bin/npm", "bin/npm-cli.js"), ("/usr/local/bin/npx", "bin/npx-cli.js")]
    {
        links.extend(toolchain.npm.iter().map(|npm| (place.into(), npm.join(program))));
    }
    links.push(("/usr/local/bin/node".into(), toolchain.node.clone()));
    let place = Path::new("/usr/local/bin").join(components::PROGRAM);
    links.extend(compiler.map(|compiler| (place, compiler.program.clone())));
    JailSpec {
        label: String::from("the installation of a package"),
        name: fittings.name.clone(),
        paths,
        links,
        home: fittings.home.to_owned(),
        limits: Limits {
            // What it writes is memory too.
            memory: limits.memory.saturating_add(limits.room.bytes),
            tasks: limits.tasks,
            processor: limits.processor,
            temporary: limits.room.bytes,
            file_size: limits.room.bytes,
            ..Limits::default()
        },
        temporary: Temporary::Programs,
        ..JailSpec::default()
    }
}

/// What every program here gets. None of it is a secret, and nothing of the host's own is in it.
pub(super) fn environment(node: &Path) -> Vec<(String, String)> {
    let node = node.parent().map(|folder| format!("{}:", folder.display())).unwrap_or_default();
    [
        ("PATH", format!("{node}/usr/local/bin:/usr/bin:/bin")),
        ("HOME", String::from("/tmp/home")),
        ("TMPDIR", String::from("/tmp/temporary")),
        ("LANG", String::from("C.UTF-8")),
        ("TZ", String::from("UTC")),
        ("CI", String::from("1")),
        ("NO_COLOR", String::from("1")),
        ("OPENSSL_CONF", String::from("/dev/null")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
