//! Components of a user interface that no build of a plugin's own turns into a module: the host's compiler does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hayloft_model::plugin::Command;
use hayloft_model::{Problem, Problems};

/// The compiler's name in a workshop.
pub(crate) const PROGRAM: &str = "compile-components";

/// The variable by which it learns where its esbuild is.
const ESBUILD: &str = "ESBUILD_BINARY_PATH";

/// Most that is told of one attempt.
const MOST_PROBLEMS: usize = 100;

/// What compiles components.
#[derive(Clone, Debug)]
pub struct ComponentCompiler {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Absolute path of the esbuild executable of the version that it was made with.
    pub esbuild: PathBuf,
}

/// Compiles components, by their paths.
pub(crate) fn compile(compiler: &ComponentCompiler, paths: BTreeSet<String>) -> Command {
    let esbuild = compiler.esbuild.display().to_string();
    Command {
        program: PROGRAM.into(),
        arguments: paths.into_iter().collect(),
        environment: [(ESBUILD.into(), esbuild)].into(),
        ..Command::default()
    }
}

/// What the compiler says is wrong, if the lines say so that it wrote.
pub(crate) fn explained(lines: &[String]) -> Option<Problems> {
    let problems: Problems = lines.iter().filter_map(|line| problem(line)).take(MOST_PROBLEMS).collect();
    (!problems.is_empty()).then_some(problems)
}

/// A line that begins with a place: a file, and where it is known a line and a column.
fn problem(line: &str) -> Option<Problem> {
    let (at, message) = line.split_once(": ")?;
    let is_place = !at.starts_with(char::is_whitespace)
        && at.split(':').next().is_some_and(|path| Path::new(path).extension().is_some());
    is_place.then(|| {
        Problem::error(at, message)
            .hint("mend the component, or make `dist/ui.js` in the package's own `build` script")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_with_a_place_is_a_problem() {
        let lines = |lines: &[&str]| lines.iter().map(|line| String::from(*line)).collect::<Vec<_>>();
        let problems = explained(&lines(&[
            "components/A.vue:3:5: no: end",
            "components/B.vue: is missing",
            "  at stack (x.js:1:2)",
            "(exit code 1)",
        ]))
        .unwrap();
        let told: Vec<_> =
            problems.iter().map(|problem| format!("{} | {}", problem.at, problem.message)).collect();
        assert_eq!(told, ["components/A.vue:3:5 | no: end", "components/B.vue | is missing"]);
        assert_eq!(explained(&lines(&["Error: spawn", "at x"])), None);
    }
}
