//! Find a tool by a name that people use: the public one, or its own where that leads to one tool only.

use hayloft_mcp::ToolFailure;
use hayloft_model::{Caller, OrganizationId, PluginId, Problem, Scope};

use super::call::CallToolError;
use super::catalogue::ToolEntry;
use crate::Host;

impl Host {
    /// The public name of a tool of the organization. Its public name always counts; the name on its server does where
    /// no other tool of the organization, or of the named plugin, has the same.
    ///
    /// # Errors
    /// The caller may not, or no tool or more than one has the name.
    pub fn find_tool(
        &self,
        caller: &Caller,
        organization: OrganizationId,
        plugin: Option<&PluginId>,
        name: &str,
    ) -> Result<String, CallToolError> {
        self.authorize(caller, organization, Scope::ToolsCall)?;
        let known =
            plugin.and_then(|id| self.plugins.named(organization, id)).map(|plugin| plugin.id.clone());
        // A plugin that is not there has no tools.
        let plugin = plugin.map(|id| known.unwrap_or_else(|| id.clone()));
        let catalogue = self.catalogues.of(organization);
        let is_of = |tool: &&ToolEntry| plugin.as_ref().is_none_or(|plugin| tool.key.plugin == *plugin);
        let tools = || catalogue.tools().iter().map(|tool| &**tool).filter(is_of);
        choose(tools().map(|tool| (tool.name.as_str(), tool.tool.as_str())), name)
            .map_err(CallToolError::from)
    }
}

/// The public name that a name means, of pairs of a public and an own name.
fn choose<'a>(
    tools: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    name: &str,
) -> Result<String, ToolFailure> {
    if tools.clone().any(|(public, _)| public == name) {
        return Ok(name.to_owned());
    }
    let named: Vec<&str> = tools.filter(|(_, own)| *own == name).map(|(public, _)| public).collect();
    match named.as_slice() {
        [] => Err(ToolFailure::UnknownTool { name: name.to_owned() }),
        [only] => Ok((*only).to_owned()),
        several => {
            let problem = Problem::error("tool", format!("`{name}` is the name of {} tools", several.len()))
                .hint(format!("use one of `{}`", several.join("`, `")));
            Err(ToolFailure::BadArguments { problems: vec![problem] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_counts_where_it_is_unique() {
        let tools = [("a__get", "get"), ("b__get", "get"), ("a__put", "put"), ("put", "b__get")];
        let found = |name| choose(tools.into_iter(), name).map_err(|failure| failure.to_string());
        assert_eq!(found("a__get").as_deref(), Ok("a__get"));
        assert_eq!(found("b__get").as_deref(), Ok("b__get"), "a public name comes first");
        assert_eq!(found("put").as_deref(), Ok("put"));
        assert_eq!(choose(tools[..3].iter().copied(), "put").unwrap(), "a__put");
        assert!(matches!(choose(tools.into_iter(), "get"), Err(ToolFailure::BadArguments { .. })));
        assert!(matches!(choose(tools.into_iter(), "Put"), Err(ToolFailure::UnknownTool { .. })));
    }
}
