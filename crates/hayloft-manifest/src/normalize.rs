//! From a draft of any format to the one descriptor: every rule that does not depend on the format is here.

use std::path::PathBuf;

use hayloft_model::plugin::{Capability, FormatName, PluginLimits, Procedures};
use hayloft_model::{PluginDescriptor, PluginId, Problem, Problems};

use crate::formats::{Draft, Located, LocatedLimit};
use crate::words::{listed, meant, quoted};

/// The categories that the marketplace knows; others are shown under "more".
pub(crate) const CATEGORIES: [&str; 8] =
    ["integration", "channel", "tool", "analytics", "products", "utility", "chat", "automation"];

/// Prefixes that say what a package is and are no part of its public name.
const ID_PREFIXES: [&str; 2] = ["hay-plugin-", "hay-channel-"];

/// Names that stand where a plugin's own procedures would: those of the host.
const HOST_PROCEDURES: [&str; 22] = [
    "getAll",
    "get",
    "enable",
    "disable",
    "updateConfig",
    "configure",
    "getConfig",
    "invokeTool",
    "healthCheck",
    "restart",
    "stop",
    "stopAll",
    "statistics",
    "metrics",
    "validateAuth",
    "testConnection",
    "getMCPTools",
    "refreshMCPTools",
    "getInstances",
    "oauth",
    "upload",
    "install",
];

/// Longest name of an environment variable, in bytes.
const LONGEST_ENV: usize = 256;

/// The descriptor, unless the id, the version or the runtime is missing.
pub(crate) fn descriptor(draft: Draft, problems: &mut Problems) -> Option<PluginDescriptor> {
    let id = draft.id.and_then(|located| plugin_id(&located, problems));
    let version = draft.version.and_then(|located| version(located, problems));
    let category = draft.category.map(|located| category(located, problems));
    let capabilities = unique(draft.capabilities, "capability", problems)
        .iter()
        .filter_map(|located| capability(located, problems))
        .collect();
    let env = unique(draft.env, "environment variable", problems)
        .into_iter()
        .filter_map(|located| env_name(located, problems))
        .collect();
    let channel = draft.channel.and_then(|located| channel(located, problems));
    let limits = limits(draft.limits, problems);
    let id = id?;
    let slug = slug(&id);
    let procedures = draft.procedures.and_then(|(module, at)| procedures(&slug, module, at, problems));
    // A name that is no id is only a name that nobody can use: the id itself was checked above.
    let aliases = draft.aliases.iter().filter_map(|alias| alias.parse().ok()).filter(|alias| *alias != id);
    Some(PluginDescriptor {
        display_name: draft.display_name.unwrap_or_else(|| spoken(&slug)),
        aliases: aliases.collect(),
        id,
        slug,
        version: version?,
        description: draft.description,
        category,
        format: FormatName(draft.format.to_owned()),
        capabilities,
        env,
        channel,
        auto_activate: draft.auto_activate,
        invisible: draft.invisible,
        limits,
        update_strategy: draft.update_strategy,
        enabled_by_default: draft.enabled_by_default,
        listing: draft.listing,
        requirements: draft.requirements,
        services: draft.services,
        free_settings: draft.free_settings,
        network: draft.network,
        setup: draft.setup,
        servers: draft.servers,
        procedures,
        default_auth_method: draft.default_auth_method,
        without_settings_page: draft.without_settings_page,
        declared: draft.declared,
        runtime: draft.runtime?,
        alternatives: draft.alternatives,
    })
}

/// A plugin's own procedures, under its slug in camel case: `hay-plugin-my-plugin` → `myPlugin`.
fn procedures(slug: &str, module: PathBuf, at: String, problems: &mut Problems) -> Option<Procedures> {
    let mut namespace = String::new();
    for word in slug.split('_') {
        let mut characters = word.chars();
        match characters.next() {
            Some(first) if !namespace.is_empty() => namespace.push(first.to_ascii_uppercase()),
            Some(first) => namespace.push(first.to_ascii_lowercase()),
            None => {}
        }
        namespace.push_str(characters.as_str());
    }
    if HOST_PROCEDURES.contains(&namespace.as_str()) {
        let message = format!("its procedures would be called `{namespace}`, as one of the host's own is");
        problems.push(Problem::error(at, message).hint("give the plugin another id"));
        return None;
    }
    Some(Procedures { module, namespace })
}

/// Whether a host environment variable is one that no plugin gets by asking alone: it looks like a secret of the
/// host, or it changes how programs start. The plugin loads; the value stays away until an operator grants that one
/// name to that one plugin.
#[must_use]
pub fn needs_grant(name: &str) -> bool {
    const ANYWHERE: [&str; 5] = ["SECRET", "PASSWORD", "PASSWD", "PRIVATE_KEY", "ENCRYPTION_KEY"];
    const BEGINNINGS: [&str; 14] = [
        "DB_",
        "DATABASE_",
        "PG",
        "POSTGRES",
        "MYSQL",
        "MONGO",
        "JWT",
        "REDIS",
        "NATS",
        "AWS_",
        "OPENAI",
        "ANTHROPIC",
        "SMTP",
        "SSH_",
    ];
    let name = name.to_ascii_uppercase();
    ANYWHERE.iter().any(|part| name.contains(part))
        || BEGINNINGS.iter().any(|part| name.starts_with(part))
        || belongs_to_the_host(&name)
}

/// Whether a variable of a plugin's processes is the host's to set, or changes how programs start. No setting may be
/// exported under such a name.
pub(crate) fn belongs_to_the_host(name: &str) -> bool {
    const BEGINNINGS: [&str; 8] =
        ["NODE_", "LD_", "DYLD_", "OPENSSL_", "SSL_CERT_", "NPM_", "HAY_", "HAYLOFT"];
    const NAMES: [&str; 8] =
        ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "SHELL", "ORGANIZATION_ID", "PLUGIN_ID"];
    let name = name.to_ascii_uppercase();
    BEGINNINGS.iter().any(|part| name.starts_with(part)) || NAMES.contains(&name.as_str())
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn is_env_name(text: &str) -> bool {
    text.len() <= LONGEST_ENV
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The first half of public tool names: the id without its scope's `@` and its prefix, other characters as one `_`.
fn slug(id: &PluginId) -> String {
    let (scope, name) = id.as_str().split_once('/').unwrap_or(("", id.as_str()));
    let bare =
        ID_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).filter(|bare| !bare.is_empty());
    let whole = format!("{scope}/{}", bare.unwrap_or(name));
    // Runs become one `_`, since two of them stand between a plugin's name and its tool's.
    let words =
        whole.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("_");
    if slug.is_empty() { String::from("plugin") } else { slug }
}

/// A slug as people would say it: `hello_tool` → `Hello Tool`.
fn spoken(slug: &str) -> String {
    let capitalized = |word: &str| {
        let mut characters = word.chars();
        characters.next().map(|first| first.to_ascii_uppercase().to_string() + characters.as_str())
    };
    slug.split('_').filter_map(capitalized).collect::<Vec<_>>().join(" ")
}

fn plugin_id(located: &Located, problems: &mut Problems) -> Option<PluginId> {
    match located.text.parse() {
        Ok(id) => Some(id),
        Err(invalid) => {
            let invalid: hayloft_model::ids::InvalidId = invalid;
            let problem =
                Problem::error(&located.at, format!("{} is not {}", quoted(&located.text), invalid.expected));
            let proposal = proposed_id(&located.text);
            let prefixed = format!("{}{proposal}", ID_PREFIXES[0]);
            problems.push(match (proposal.parse::<PluginId>(), prefixed.parse::<PluginId>()) {
                (Ok(id), _) => problem.hint(format!("call it `{id}`")),
                // Only a name that the host uses itself becomes an id by a prefix.
                (Err(_), Ok(id)) if proposal == located.text => {
                    problem.hint(format!("the host uses this name itself: call it `{id}`"))
                }
                _ => problem.hint("choose a name such as `hay-plugin-orders`"),
            });
            None
        }
    }
}

/// What the author of an invalid id may be content with.
fn proposed_id(text: &str) -> String {
    let allowed = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '@' | '/')
    };
    let lowercase = text.to_lowercase();
    let words = lowercase.split(|character| !allowed(character)).filter(|word| !word.is_empty());
    let proposal: String = words.collect::<Vec<_>>().join("-").chars().take(200).collect();
    proposal.trim_matches(['-', '.', '_', '/']).to_owned()
}

fn version(located: Located, problems: &mut Problems) -> Option<String> {
    match semver::Version::parse(&located.text) {
        Ok(_) => Some(located.text),
        Err(error) => {
            let message = format!("{} is not a semantic version: {error}", quoted(&located.text));
            problems.push(Problem::error(located.at, message).hint("write three numbers, such as `1.0.0`"));
            None
        }
    }
}

fn category(located: Located, problems: &mut Problems) -> String {
    if !CATEGORIES.contains(&located.text.as_str()) {
        let message = format!("{} is not a known category", quoted(&located.text));
        problems.push(Problem::warning(located.at, message).hint(suggestion(&located.text, &CATEGORIES)));
    }
    located.text
}

fn capability(located: &Located, problems: &mut Problems) -> Option<Capability> {
    let known = Capability::ALL.into_iter().find(|capability| capability.as_str() == located.text);
    if known.is_none() {
        let message = format!("{} is not a known capability", quoted(&located.text));
        let names = Capability::ALL.map(Capability::as_str);
        problems.push(Problem::error(&located.at, message).hint(suggestion(&located.text, &names)));
    }
    known
}

pub(crate) fn suggestion(written: &str, known: &[&str]) -> String {
    match meant(written, known.iter().copied()) {
        Some(word) => format!("did you mean {}?", quoted(word)),
        None => format!("known are {}", listed(known.iter().copied())),
    }
}

fn env_name(located: Located, problems: &mut Problems) -> Option<String> {
    if !is_env_name(&located.text) {
        let message = format!("{} cannot be the name of an environment variable", quoted(&located.text));
        problems.push(
            Problem::error(located.at, message).hint("use letters, digits and `_`, such as `SHOP_API_KEY`"),
        );
        return None;
    }
    if needs_grant(&located.text) {
        let message = format!("{} looks like a secret or a setting of the host", quoted(&located.text));
        problems.push(
            Problem::warning(located.at, message)
                .hint("the plugin does not see its value until an operator grants this name to this plugin"),
        );
    }
    Some(located.text)
}

fn channel(located: Located, problems: &mut Problems) -> Option<String> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b':' | b'-');
    if located.text.is_empty() || located.text.len() > 128 || !located.text.bytes().all(allowed) {
        let message = format!("{} cannot be the id of a channel", quoted(&located.text));
        problems.push(
            Problem::error(located.at, message)
                .hint("use lower-case letters, digits, `_`, `:` and `-`, such as `whatsapp`"),
        );
        return None;
    }
    Some(located.text)
}

/// What is too little to start is refused here. What is too much is for the operator to say.
fn limits(asked: Vec<LocatedLimit>, problems: &mut Problems) -> PluginLimits {
    let mut limits = PluginLimits::default();
    for LocatedLimit { name, value, at } in asked {
        let least = name.least();
        if value < least {
            let message = format!("{} is too little for a worker to start", name.show(value));
            problems.push(
                Problem::error(at, message)
                    .hint(format!("ask for at least {}, or leave it out", name.show(least))),
            );
        } else {
            limits.set(name, value);
        }
    }
    limits
}

fn unique(list: Vec<Located>, what: &str, problems: &mut Problems) -> Vec<Located> {
    let mut kept: Vec<Located> = Vec::new();
    for located in list {
        if kept.iter().any(|earlier| earlier.text == located.text) {
            let message = format!("the {what} {} is listed twice", quoted(&located.text));
            problems.push(Problem::warning(located.at, message).hint("remove one of them"));
        } else {
            kept.push(located);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_short_and_unambiguous() {
        for (id, expected, name) in [
            ("hay-plugin-shopify", "shopify", "Shopify"),
            ("hay-channel-whatsapp", "whatsapp", "Whatsapp"),
            ("hay-plugin-hello-tool", "hello_tool", "Hello Tool"),
            ("email", "email", "Email"),
            ("judo-in-cloud", "judo_in_cloud", "Judo In Cloud"),
            ("@acme/tickets", "acme_tickets", "Acme Tickets"),
            ("@acme/hay-plugin-tickets", "acme_tickets", "Acme Tickets"),
            ("a--b.c", "a_b_c", "A B C"),
            ("hay-plugin-", "hay_plugin", "Hay Plugin"),
            ("--", "plugin", "Plugin"),
        ] {
            let slug = slug(&id.parse().unwrap());
            assert_eq!((slug.as_str(), spoken(&slug).as_str()), (expected, name), "{id}");
        }
    }

    #[test]
    fn host_secrets_need_a_grant() {
        for name in [
            "SHOPIFY_SECRET",
            "db_password",
            "DB_HOST",
            "JWT_SECRET",
            "REDIS_URL",
            "AWS_REGION",
            "OPENAI_API_KEY",
            "SMTP_HOST",
            "HAY_API_TOKEN",
            "HAYLOFT_ADMIN_TOKEN",
            "PLUGIN_ENCRYPTION_KEY",
            "NODE_OPTIONS",
            "LD_PRELOAD",
            "PATH",
            "STRIPE_SECRET_KEY",
        ] {
            assert!(needs_grant(name), "{name}");
        }
        for name in
            ["STRIPE_API_KEY", "SHOPIFY_API_KEY", "HUBSPOT_CLIENT_ID", "WHATSAPP_TOKEN", "REGION", "KEYPATH"]
        {
            assert!(!needs_grant(name), "{name}");
        }
    }
}
