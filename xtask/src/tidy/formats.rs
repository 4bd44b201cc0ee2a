//! Who may speak of plugin formats: their readers, and nobody else. What else knows a word of one stands in [`ALLOWED`],
//! with its reason.
//!
//! A word counts in whatever way it is written: as a text or a part of one, in any case, and as a part of a name in
//! `snake_case`, `camelCase` or `SCREAMING_CASE`. Comments may say what they like.

use super::Finding;
use super::rust::{Kind, Source};

/// Where words of formats may stand: the beginning of a path, the words, and why.
const ALLOWED: [(&str, Words, &str); 12] = [
    ("crates/hayloft-manifest/src/formats.rs", Words::All, "the list of readers"),
    ("crates/hayloft-manifest/src/formats/", Words::All, "the readers"),
    ("packages/plugin-runner/src/formats.ts", Words::All, "the list of what loads plugins"),
    ("packages/plugin-runner/src/formats/", Words::All, "what loads plugins"),
    (
        "packages/plugin-runner/scripts/build.js",
        Words::Some(&["hatago", "@hatago/core"]),
        "puts the parts of one format's loader into the bundle",
    ),
    (
        "packages/plugin-runner/scripts/measure-start.js",
        Words::Some(&["hay-package"]),
        "measures the start of a plugin, which is in some format",
    ),
    (
        "packages/plugin-runner/vitest.config.ts",
        Words::Some(&["hatago", "@hatago/core"]),
        "says where tests find a package that is named after its format",
    ),
    (
        "packages/plugin-sdk/",
        Words::Some(&["hay-package", "hay-class", "hay-plugin", "HayPlugin"]),
        "what authors of two formats import: both are written with its names",
    ),
    ("packages/hatago-core/", Words::Some(HATAGO), "what authors of the format import"),
    ("packages/hatago-test-utils/", Words::Some(HATAGO), "what authors of the format import"),
    ("packages/create-hatago-plugin/", Words::Some(HATAGO), "makes plugins of the format"),
    ("package-lock.json", Words::All, "names of packages"),
];

const HATAGO: &[&str] = &["hatago", "hatago.plugin.json", "@hatago/core"];

/// Some of the words, or all of them.
#[derive(Clone, Copy)]
enum Words {
    All,
    Some(&'static [&'static str]),
}

/// Whether a file may say a word.
fn may_say(path: &str, word: &str) -> bool {
    ALLOWED.iter().any(|(place, words, _)| {
        path.starts_with(place)
            && match words {
                Words::All => true,
                Words::Some(words) => words.contains(&word),
            }
    })
}

/// Whether a file is the product's: tests, and what makes and tests the product, speak of what they test.
fn is_product(path: &str) -> bool {
    let is_test = path.contains("/test/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.contains(".test.")
        || path.contains(".test-d.")
        || path.ends_with("/tests.rs")
        || path.starts_with("crates/hayloft-testkit/");
    !is_test && (path.starts_with("crates/") || path.starts_with("packages/"))
}

/// A name of a file or a folder that is a format's.
pub(super) fn check_path(path: &str, words: &[&str]) -> Vec<Finding> {
    if !is_product(path) || path.ends_with(".md") {
        return Vec::new();
    }
    let said = |word: &&&str| !may_say(path, word) && path.split('/').any(|part| names(part, word));
    words.iter().filter(said).map(|word| finding(path, None, word)).collect()
}

/// The words that a Rust file says.
pub(super) fn check_rust(path: &str, source: &Source, words: &[&str]) -> Vec<Finding> {
    if !is_product(path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for token in &source.tokens {
        let says: fn(&str, &str) -> bool = match &token.kind {
            Kind::Word(_) => names,
            Kind::Text(_) => tells,
            Kind::Mark(_) | Kind::Open(_) | Kind::Close(_) => continue,
        };
        let (Kind::Word(text) | Kind::Text(text)) = &token.kind else { continue };
        let said = words.iter().filter(|word| !may_say(path, word) && says(text, word));
        findings.extend(said.map(|word| finding(path, Some(token.line), word)));
    }
    findings
}

/// The words that another text file of the product says.
pub(super) fn check_text(path: &str, text: &str, words: &[&str]) -> Vec<Finding> {
    if !is_product(path) || path.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if ["//", "*", "/*", "<!--"].iter().any(|comment| code.starts_with(comment)) {
            continue;
        }
        let code = code.split_once(" // ").map_or(code, |(code, _)| code);
        let said = |word: &&&str| {
            !may_say(path, word) && (tells(code, word) || identifiers(code).any(|name| names(name, word)))
        };
        findings.extend(words.iter().filter(said).map(|word| finding(path, Some(index + 1), word)));
    }
    findings
}

fn finding(path: &str, line: Option<usize>, word: &str) -> Finding {
    let message = format!("only the readers of plugin formats may say `{word}`");
    match line {
        Some(line) => Finding::on_line(path, line, message),
        None => Finding::new(path, message),
    }
}

/// The runs of letters, digits and `_` of a line.
fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
}

/// A name without what separates its parts, and without its case.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|character| !matches!(character, '-' | '_'));
    letters.flat_map(char::to_lowercase).collect()
}

/// Whether a name in code has the word in it.
fn names(name: &str, word: &str) -> bool {
    // No name has a dot in it, or begins with a scope.
    let plain = word.chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
    plain && folded(name).contains(&folded(word)) && !(is_id_prefix(word) && is_id_name(name))
}

/// Whether the word begins the ids of plugins too: `hay-plugin-orders`, and what their variables are called.
fn is_id_prefix(word: &str) -> bool {
    word == "hay-plugin" || word == "HayPlugin"
}

/// Names of what every plugin has, whatever its format.
fn is_id_name(name: &str) -> bool {
    name.starts_with("HAY_PLUGIN_")
}

/// Whether a text says the word, and does not merely name a plugin that begins or ends with it.
fn tells(text: &str, word: &str) -> bool {
    let (text, word) = match word.chars().any(char::is_uppercase) {
        true => (text.to_owned(), word.to_owned()),
        false => (text.to_lowercase(), word.to_lowercase()),
    };
    // A word that is nobody's prefix counts wherever it stands; the others only by themselves.
    let anywhere = word.chars().all(|character| character.is_ascii_alphanumeric());
    let is_file = word.contains('.');
    let is_part = |character: char| {
        character.is_ascii_alphanumeric()
            || matches!(character, '-' | '_')
            || !is_file && matches!(character, '/' | '@')
    };
    text.match_indices(&word).any(|(start, _)| {
        let before = text.get(..start).and_then(|text| text.chars().next_back());
        let after = text.get(start + word.len()..).and_then(|text| text.chars().next());
        anywhere || (!before.is_some_and(is_part) && !after.is_some_and(is_part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 8] = [
        "hay-plugin",
        "hay-package",
        "hay-class",
        "HayPlugin",
        "hay-manifest",
        "manifest.json",
        "hatago",
        "hatago.plugin.json",
    ];
    const HOST: &str = "crates/hayloft-host/src/x.rs";

    fn rust(path: &str, text: &str) -> usize {
        check_rust(path, &Source::parse(text).unwrap(), &WORDS).len()
    }

    #[test]
    fn words_count_however_they_are_written() {
        for text in [
            "const X: &str = \"hatago\";",
            "const X: &str = \"Hatago\";",
            "const X: &str = \"a plugin of hatagos\";",
            "fn is_hatago() {}",
            "fn x(isHatago: bool) {}",
            "struct HatagoThing;",
            "const HATAGO: u8 = 1;",
            "enum Format { HayManifest }",
            "fn hay_class() {}",
            "const X: &str = \"a folder with manifest.json\";",
            "const X: &str = \"Manifest.JSON\";",
            "fn x() { y.join(\"plugins/x/manifest.json\") }",
            "const X: &str = r#\"{ \"hay-plugin\": {} }\"#;",
            "const X: &str = \"a HayPlugin class\";",
            "struct HayPluginLike;",
            "fn x() { y!(\"{} hay-package\", z) }",
        ] {
            assert!(rust(HOST, text) > 0, "{text}");
        }
        let runner = "packages/plugin-runner/src/main.ts";
        for text in [
            "const isHatago = true;",
            "if (format === `hay-class`) {",
            "log(\"reads manifest.json of plugins\");",
            "import { HayPlugin } from \"@hay/plugin-sdk\";",
            "class HatagoWorker {}",
        ] {
            assert!(!check_text(runner, text, &WORDS).is_empty(), "{text}");
        }
        for path in ["crates/hayloft-host/src/hatago.rs", "crates/hayloft-host/src/hay_class/x.rs"] {
            assert!(!check_path(path, &WORDS).is_empty(), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_one_does_not_count() {
        for text in [
            "const X: &str = \"hay-plugin-orders\"; const Y: &str = \"@a/hay-plugin\";",
            "const X: &str = \"HAY_PLUGIN_ID\"; const HAY_PLUGIN_ID: u8 = 1;",
            "const X: &str = \"plugin-manifest.json\"; const Y: &str = \"manifest\"; fn manifest() {}",
            "#[cfg(test)] mod tests { const X: &str = \"hatago\"; }",
            "/// `hatago`, `HayPlugin`, manifest.json\nfn x() {}",
        ] {
            assert_eq!(rust(HOST, text), 0, "{text}");
        }
        assert_eq!(
            check_text("packages/plugin-runner/src/main.ts", "// hatago\nx(); // manifest.json", &WORDS),
            []
        );
        assert_eq!(rust("crates/hayloft-testkit/src/x.rs", "fn hatago() {}"), 0);
        assert_eq!(check_path("crates/hayloft-manifest/tests/golden/hatago/x.json", &WORDS), []);
    }

    #[test]
    fn each_place_may_say_its_own_words_alone() {
        let says = |path: &str, text: &str| !check_text(path, text, &WORDS).is_empty();
        assert_eq!(
            rust("crates/hayloft-manifest/src/formats/x.rs", "fn hatago() { y(\"manifest.json\") }"),
            0
        );
        assert!(rust("crates/hayloft-manifest/src/normalize.rs", "const X: &str = \"hay-plugin\";") > 0);
        assert!(!says("packages/plugin-sdk/src/define.ts", "export function defineHayPlugin() {"));
        assert!(says("packages/plugin-sdk/src/define.ts", "const file = \"manifest.json\";"));
        assert!(says("packages/plugin-sdk/src/define.ts", "if (isHatago) {"));
        assert!(!says("packages/hatago-core/src/index.ts", "x(\"hatago\")"));
        assert!(says("packages/hatago-core/src/index.ts", "x(\"hay-package\")"));
        assert!(!says("packages/plugin-runner/src/formats/x.ts", "x(\"hay-package\", \"hatago\")"));
        assert!(says("packages/plugin-runner/scripts/build.js", "x(\"hay-package\")"));
        assert!(says("packages/client-tests/src/main.ts", "x(\"hatago\")"));
    }
}
