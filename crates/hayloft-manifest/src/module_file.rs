//! Modules that a manifest names: they must be JavaScript, and inside the folder.

use std::path::PathBuf;

use hayloft_model::{Problem, Problems};

use crate::folder::{Folder, Modules, Unusable, relative_path};
use crate::formats::Located;
use crate::words::quoted;

/// Where modules are named, so that advice can say what to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedIn {
    /// The file that the paths are relative to.
    pub(crate) manifest: &'static str,
    /// Whether the folder can build itself.
    pub(crate) build: Build,
}

/// Whether a folder can build itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// Its package has a `build` script, or its manifest a command.
    Known,
    /// It says nothing of building.
    Unknown,
}

/// The module's path relative to the folder, or the problem.
pub(crate) fn locate(
    folder: &Folder,
    module: &Located,
    named_in: NamedIn,
    problems: &mut Problems,
) -> Option<PathBuf> {
    match folder.locate(&module.text) {
        Ok(path) => runnable(path, module, problems),
        Err(Unusable::Missing) if folder.modules() == Modules::Expected && named_in.build == Build::Known => {
            let mut path = relative_path(&module.text).ok()?;
            // Node completes it once it is there.
            if path.extension().is_none() {
                path.set_extension("js");
            }
            let path = runnable(path, module, problems)?;
            let shown = quoted(&module.text);
            problems.push(Problem::warning(&module.at, format!("{shown} does not exist yet")).hint(
                "the host builds the plugin when it is switched on; to see what it makes: `npm install && npm run build`",
            ));
            Some(path)
        }
        Err(unusable) => {
            problems.push(problem(module, unusable, named_in));
            None
        }
    }
}

/// The path, if it is JavaScript's.
pub(crate) fn runnable(path: PathBuf, module: &Located, problems: &mut Problems) -> Option<PathBuf> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension {
        "js" | "cjs" | "mjs" => return Some(path),
        "ts" | "mts" | "cts" | "tsx" => {
            problems.push(Problem::error(&module.at, format!("{} is TypeScript", quoted(&module.text))).hint(
                "name the compiled module, such as `./dist/index.js`, and give the package a `build` script",
            ))
        }
        _ => problems.push(
            Problem::error(&module.at, format!("{} is not a JavaScript module", quoted(&module.text)))
                .hint("name a file that ends in `.js`, `.cjs` or `.mjs`"),
        ),
    }
    None
}

/// Why a module cannot be loaded.
pub(crate) fn problem(module: &Located, unusable: Unusable, named_in: NamedIn) -> Problem {
    let shown = quoted(&module.text);
    let manifest = named_in.manifest;
    let error = |message: String| Problem::error(&module.at, message);
    match unusable {
        Unusable::Malformed => error(format!("{shown} is not a path"))
            .hint("name the compiled module, such as `./dist/index.js`"),
        Unusable::Absolute => error(format!("{shown} is not a relative path"))
            .hint(format!("name the module relative to `{manifest}`, such as `./dist/index.js`")),
        Unusable::Outside => error(format!("{shown} leads out of the plugin's folder"))
            .hint("keep the module inside the folder: nothing outside it can be loaded"),
        Unusable::Missing => {
            let problem = error(format!("{shown} does not exist"));
            match (named_in.build, module.text.contains('\\')) {
                (_, true) => problem.hint("write `/` between the parts of a path"),
                (Build::Known, false) => {
                    problem.hint("build the plugin first: `npm install && npm run build`")
                }
                (Build::Unknown, false) => {
                    problem.hint(format!("name a file that is there, relative to `{manifest}`"))
                }
            }
        }
        Unusable::NotAFile => {
            error(format!("{shown} is not a file")).hint("name the module itself, not its folder")
        }
        Unusable::Unreadable => {
            error(format!("{shown} cannot be read")).hint("check the permissions of the file and its folder")
        }
    }
}
