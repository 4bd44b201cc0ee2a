//! What a plugin declares and its code does not seem to use: least privilege is a habit, and a check may remind of it.
//!
//! Nothing is run. A capability counts as used once anything in the folder's own modules looks like a use of it, so what
//! is told is likely, and never more than a warning.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use hayloft_model::plugin::{Capability, Runtime, Service};
use hayloft_model::{PluginDescriptor, Problem, Problems};
use regex::Regex;

use crate::folder::{Folder, Modules};

/// Most modules that are read. A folder with more is not judged.
const MOST_MODULES: usize = 400;

/// Largest module that is read, in bytes; a larger one counts as using everything.
const LARGEST_MODULE: u64 = 2 * 1024 * 1024;

/// Deepest folder that is looked into.
const DEEPEST: usize = 8;

/// What a use of a capability looks like in code.
const CAPABILITIES: [(Capability, &str); 11] = [
    (Capability::Routes, r"\b(?:registerRoute|getApp|webhookRouting)\b|\broute\s*\("),
    (
        Capability::Mcp,
        r"\bmcp\s*(?:\?\.|[.!\[])|\b(?:start(?:Local|LocalStdio|External)|register(?:Local|Remote)?MCP)\b",
    ),
    (Capability::Auth, r"\bauth\s*(?:\?\.|[.!\[:])|\b(?:getAuthConfig|onValidateAuth)\b"),
    (Capability::Config, r"\bconfig\s*(?:\?\.|[.!\[(:])"),
    (Capability::Ui, r"\bui\s*(?:\?\.|[.!(])"),
    (Capability::Messages, r"\bmessages\s*(?:\?\.|[.!])"),
    (Capability::Customers, r"\bcustomers\s*(?:\?\.|[.!])"),
    (Capability::Sources, r"\bsources\s*(?:\?\.|[.!])|\bregisterSource\b"),
    (Capability::Products, r"\bproducts\s*(?:\?\.|[.!])|\bproductSource\b"),
    (Capability::Cron, r"\bcron\s*\("),
    (Capability::Email, r"\bemail\s*(?:\?\.|[.!(])|\bsend-?[eE]mail\b"),
];

/// The patterns, compiled once. A service is a plain name that its plugin takes by destructuring.
static PATTERNS: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    let capabilities = CAPABILITIES.map(|(capability, pattern)| (capability.as_str(), pattern.to_owned()));
    let services = Service::ALL.map(|service| (service.as_str(), format!(r"\b{}\b", service.as_str())));
    let patterns = capabilities.into_iter().chain(services);
    patterns.filter_map(|(name, pattern)| Some((name, Regex::new(&pattern).ok()?))).collect()
});

/// A warning for each capability that is declared for nothing, as far as the folder's own modules tell.
pub(crate) fn check(root: &Path, descriptor: &PluginDescriptor) -> Problems {
    let mut problems = Problems::new();
    // Where no module is loaded, what is declared is what the host does by itself.
    if descriptor.runtime == Runtime::Servers {
        return problems;
    }
    let declared: Vec<&'static str> = match &descriptor.services {
        Some(services) => services.iter().map(|service| service.as_str()).collect(),
        None => {
            let named = descriptor.capabilities.iter().copied();
            named.filter(|capability| !is_declared(descriptor, *capability)).map(Capability::as_str).collect()
        }
    };
    if declared.is_empty() {
        return problems;
    }
    let Some(sources) = sources(root) else { return problems };
    for name in declared {
        let mut patterns = PATTERNS.iter().filter(|(known, _)| *known == name).peekable();
        if patterns.peek().is_none() {
            continue;
        }
        if patterns.any(|(_, pattern)| sources.iter().any(|source| pattern.is_match(source))) {
            continue;
        }
        let message = format!("`{name}` is declared, and nothing in the plugin's code seems to use it");
        problems.push(Problem::warning("capabilities", message).hint(
            "remove it, so that the plugin gets no more than it needs; a check with `--run` tells more",
        ));
    }
    problems
}

/// Whether the folder itself says what the capability is for.
fn is_declared(descriptor: &PluginDescriptor, capability: Capability) -> bool {
    let declared = &descriptor.declared;
    match capability {
        Capability::Mcp => !descriptor.servers.is_empty(),
        Capability::Routes => !declared.routes.is_empty() || descriptor.procedures.is_some(),
        Capability::Config => !declared.config_schema.fields.is_empty(),
        Capability::Auth => !declared.auth_methods.is_empty(),
        Capability::Ui => {
            !declared.pages.is_empty()
                || !declared.ui_extensions.is_empty()
                || !declared.ui_components.is_empty()
        }
        _ => false,
    }
}

/// The text of the folder's own modules without comments and without lists of names, which declare and use nothing.
/// Nothing if there are none, or more than can be judged.
fn sources(root: &Path) -> Option<Vec<String>> {
    static NOISE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"(?ms:^\s*/\*.*?\*/)|(?m:^\s*//.*$)|\bcapabilities["']?\s*:\s*\[[^\]]*\]"#).ok()
    });
    let folder = Folder::open(root, Modules::There).ok()?;
    let mut modules = Vec::new();
    list(folder.root(), Path::new(""), 0, &mut modules)?;
    let mut sources = Vec::new();
    for module in &modules {
        let text = folder.read_text(&module.to_string_lossy(), LARGEST_MODULE).ok()?;
        sources.push(NOISE.as_ref()?.replace_all(&text, "").into_owned());
    }
    (!sources.is_empty()).then_some(sources)
}

fn list(root: &Path, below: &Path, depth: usize, modules: &mut Vec<PathBuf>) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    for entry in fs::read_dir(root.join(below)).ok()? {
        let entry = entry.ok()?;
        let name = entry.file_name();
        let path = below.join(&name);
        let kind = entry.file_type().ok()?;
        let shown = name.to_string_lossy();
        if kind.is_dir() {
            if !matches!(&*shown, "node_modules" | "test" | "tests" | ".git") {
                list(root, &path, depth + 1, modules)?;
            }
        } else if kind.is_file()
            && ["js", "mjs", "cjs", "ts", "mts", "cts"]
                .iter()
                .any(|extension| path.extension().is_some_and(|own| own == *extension))
            && !shown.contains(".test.")
        {
            modules.push(path);
            if modules.len() > MOST_MODULES {
                return None;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(capabilities: &str, source: &str) -> Vec<String> {
        let plugin = tempfile::tempdir().unwrap();
        let package = format!(
            r#"{{ "name": "x", "version": "1.0.0", "hay-plugin": {{ "entry": "./index.js", "displayName": "X", "category": "utility", "capabilities": [{capabilities}] }} }}"#
        );
        fs::write(plugin.path().join("package.json"), package).unwrap();
        fs::write(plugin.path().join("index.js"), source).unwrap();
        let (descriptor, problems) = crate::read_plugin(plugin.path());
        let descriptor = descriptor.unwrap_or_else(|| panic!("{problems}"));
        check(plugin.path(), &descriptor).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn what_no_module_uses_is_told() {
        let source = "// ctx.cron(1)\nconst capabilities = { capabilities: ['messages'] };\n\
                      export default ({ register }) => ({ onInitialize() { register.route('GET', '/', (q, r) => r.json({})); } });";
        let expected: Vec<String> = ["messages", "cron"]
            .map(|name| format!("`{name}` is declared, and nothing in the plugin's code seems to use it"))
            .into();
        let told_of = told(r#""routes", "messages", "cron""#, source);
        assert_eq!(told_of.len(), 2, "{told_of:?}");
        assert!(expected.iter().all(|message| told_of.contains(message)), "{told_of:?}");
        let used = "export default (ctx) => { ctx.register.cron({}); ctx.sdk.messages.send({}); ctx.register.route('GET', '/', f); }";
        assert_eq!(told(r#""routes", "messages", "cron""#, used), [""; 0]);
        assert_eq!(told("", ""), [""; 0]);
    }
}
