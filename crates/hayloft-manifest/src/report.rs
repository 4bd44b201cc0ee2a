//! What a person reads after asking whether a folder is a good plugin.

use std::fmt;
use std::path::Path;

use hayloft_model::plugin::{Capability, McpEndpoint, Runtime};
use hayloft_model::{PluginDescriptor, Problems, Severity};

use crate::probe::{Evidence, probe};
use crate::words::{listed, quoted};

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// The format and what it was known by, unless the folder is in none.
    pub evidence: Option<Evidence>,
    /// What the folder says, unless a problem is an error.
    pub descriptor: Option<PluginDescriptor>,
    /// Everything that is wrong.
    pub problems: Problems,
}

impl Report {
    /// Whether the plugin can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.descriptor.is_some()
    }
}

/// Checks a folder without running any of its code.
#[must_use]
pub fn check(folder: &Path) -> Report {
    let (evidence, _) = probe(folder);
    let (descriptor, mut problems) = crate::read_source(folder);
    if let Some(descriptor) = &descriptor {
        problems.extend(crate::unused::check(folder, descriptor));
    }
    Report { evidence, descriptor, problems }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(descriptor) = &self.descriptor {
            writeln!(f, "{} {} ({})", descriptor.display_name, descriptor.version, descriptor.id)?;
            if let Some(description) = &descriptor.description {
                writeln!(f, "  {description}")?;
            }
        }
        if let Some(evidence) = &self.evidence {
            writeln!(f, "  format: `{}`, because {}", evidence.format, evidence.because)?;
        }
        if let Some(descriptor) = &self.descriptor {
            if !descriptor.capabilities.is_empty() {
                let capabilities = descriptor.capabilities.iter().copied().map(Capability::as_str);
                writeln!(f, "  capabilities: {}", listed(capabilities))?;
            }
            if !descriptor.env.is_empty() {
                let names = listed(descriptor.env.iter().map(String::as_str));
                writeln!(f, "  may read from the host's environment: {names}")?;
            }
            for server in &descriptor.servers {
                let transports = listed(server.transports.iter().map(|transport| transport.as_str()));
                match &server.endpoint {
                    McpEndpoint::Process { command } => {
                        let words = [&command.program].into_iter().chain(&command.arguments);
                        let line = words.map(String::as_str).collect::<Vec<_>>().join(" ");
                        writeln!(f, "  starts the MCP server {}, over {transports}", quoted(&line))?;
                    }
                    McpEndpoint::Remote { url } => {
                        writeln!(f, "  reaches the MCP server {}, over {transports}", quoted(url))?;
                    }
                }
            }
            if let Some(services) = &descriptor.services {
                let services = listed(services.iter().map(|service| service.as_str()));
                let services = if services.is_empty() { "nothing" } else { &services };
                writeln!(f, "  its code gets {services} of the host, and no more")?;
            }
            for runtime in [&descriptor.runtime].into_iter().chain(&descriptor.alternatives) {
                if let Runtime::Isolate { entry, compatibility_date: Some(date) } = runtime {
                    let entry = quoted(&entry.to_string_lossy());
                    writeln!(
                        f,
                        "  {entry} runs in an isolate, and needs one that behaves as of {date} at least"
                    )?;
                }
            }
            if descriptor.runtime == Runtime::Servers {
                writeln!(f, "  none of its own modules is loaded")?;
            }
            writeln!(f, "  its tools are named `{}__…`", descriptor.slug)?;
        }
        if !self.problems.is_empty() {
            writeln!(f, "\n{}", self.problems)?;
        }
        let count = |severity| self.problems.iter().filter(|problem| problem.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match (errors, warnings) {
            (0, 0) => write!(f, "\nno problems"),
            (errors, 0) => write!(f, "\n{}", counted(errors, "error")),
            (0, warnings) => write!(f, "\n{}", counted(warnings, "warning")),
            (errors, warnings) => {
                write!(f, "\n{}, {}", counted(errors, "error"), counted(warnings, "warning"))
            }
        }
    }
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_well() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hay_package");
        assert_eq!(
            check(&golden.join("document_example")).to_string(),
            "Shopify 0.1.0 (hay-plugin-shopify)\n  \
             format: `hay-package`, because `package.json` has a `hay-plugin` key\n  \
             capabilities: `routes`, `mcp`, `auth`, `config` and `ui`\n  \
             may read from the host's environment: `SHOPIFY_API_KEY` and `SHOPIFY_SECRET`\n  \
             its tools are named `shopify__…`\n\n\
             warning: package.json#hay-plugin.env[1] (line 13, column 7): `SHOPIFY_SECRET` looks like a secret or a \
             setting of the host\n  \
             hint: the plugin does not see its value until an operator grants this name to this plugin\n\n\
             1 warning"
        );
        let of = |case: &str| check(&golden.with_file_name(case)).to_string();
        let servers = of("hay_manifest/commands_with_cd");
        assert!(
            servers.contains(
                "  starts the MCP server `node dist/server main.js --port=0`, over `stdio` and `sse`\n  \
                 none of its own modules is loaded\n"
            ),
            "{servers}"
        );
        let isolate = of("hatago/workers_alone");
        assert!(
            isolate.contains(
                "  `dist/worker.js` runs in an isolate, and needs one that behaves as of 2023-10-30 at least\n"
            ),
            "{isolate}"
        );
        assert!(of("hatago/no_capability").contains("  its code gets nothing of the host, and no more\n"));
        let report = check(&golden.join("no_package_json"));
        assert!(!report.is_usable());
        assert!(report.to_string().ends_with("\n1 error"), "{report}");
    }
}
