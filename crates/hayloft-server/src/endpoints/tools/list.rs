//! `GET /v1/orgs/{org}/tools`

use axum::Json;
use axum::extract::State;
use hayloft_host::ToolSummary;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::auth::InOrganization;
use crate::openapi::refusals::Inaccessible;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// Tools.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolList)]
pub(crate) struct ListBody {
    /// By plugin, server, and then in the server's own order.
    #[schema(value_type = Vec<ToolShape>)]
    tools: Vec<ToolBody>,
}

/// A tool: what MCP says of it, and where it comes from.
#[derive(ToSchema)]
#[schema(as = Tool, rename_all = "camelCase")]
#[expect(dead_code, reason = "it documents the shape that `ToolBody` writes")]
pub(crate) struct ToolShape {
    /// The public name, by which it is called.
    #[schema(example = "shopify__get_order")]
    name: String,
    /// The plugin that has it.
    plugin_id: String,
    /// The plugin's server that has it.
    server_id: String,
    /// Its name on that server.
    tool: String,
    /// A name for people.
    title: Option<String>,
    /// What it does, for a model.
    description: Option<String>,
    /// The JSON Schema of its arguments.
    #[schema(value_type = Object)]
    input_schema: serde_json::Value,
    /// The JSON Schema of structured results.
    #[schema(value_type = Option<Object>)]
    output_schema: Option<serde_json::Value>,
    /// Hints such as `readOnlyHint`, which nobody vouches for.
    #[schema(value_type = Option<Object>)]
    annotations: Option<serde_json::Value>,
}

/// A definition exactly as its server wrote it, with where it comes from put in front.
#[derive(Debug)]
struct ToolBody(Box<RawValue>);

impl Serialize for ToolBody {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Members that are ours. A server's own member of such a name would stand twice, so it is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Origin<'a> {
    plugin_id: &'a str,
    server_id: &'a str,
    tool: &'a str,
}

impl ToolBody {
    fn new(summary: &ToolSummary) -> Result<Self, serde_json::Error> {
        let origin = Origin {
            plugin_id: summary.plugin_id.as_str(),
            server_id: summary.server_id.as_str(),
            tool: &summary.tool,
        };
        let mut members: indexmap::IndexMap<String, Box<RawValue>> = indexmap::IndexMap::new();
        let ours: indexmap::IndexMap<String, Box<RawValue>> =
            serde_json::from_str(&serde_json::to_string(&origin)?)?;
        let theirs: indexmap::IndexMap<String, Box<RawValue>> =
            serde_json::from_str(summary.definition.get())?;
        for (name, value) in theirs {
            if !ours.contains_key(&name) {
                members.insert(name, value);
            }
        }
        members.extend(ours);
        serde_json::value::to_raw_value(&members).map(Self)
    }
}

/// List the tools of an organization.
///
/// Also of plugins that do not run at the moment.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/tools",
    operation_id = "listTools",
    tag = "tools",
    security(("bearer" = [])),
    params(("org" = String, Path, description = "The organization's id")),
    responses((status = OK, body = ListBody, description = "The tools."), Inaccessible)
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    InOrganization { caller, organization }: InOrganization,
) -> Result<Json<ListBody>, ProblemDetails> {
    let tools = state.host.list_tools(&caller, organization)?;
    let tools: Result<_, _> = tools.iter().map(ToolBody::new).collect();
    Ok(Json(ListBody { tools: tools.map_err(|error| ProblemDetails::internal(&error))? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_passes_raw_and_cannot_lie_about_its_origin() {
        let definition = r#"{"name":"a__b","inputSchema":{"type" : "object"},"pluginId":"evil","x":1e2}"#;
        let summary = ToolSummary {
            name: "a__b".into(),
            plugin_id: "hay-plugin-a".parse().unwrap(),
            server_id: "main".parse().unwrap(),
            tool: "b".into(),
            definition: RawValue::from_string(definition.into()).unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&ToolBody::new(&summary).unwrap()).unwrap(),
            r#"{"name":"a__b","inputSchema":{"type" : "object"},"x":1e2,"pluginId":"hay-plugin-a","serverId":"main","tool":"b"}"#
        );
    }
}
