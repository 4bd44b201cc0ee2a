//! `plugins.getAll`: the plugins that the organization can have.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, shape};
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

/// What narrows the list.
#[derive(Default, Deserialize)]
struct Input {
    /// Only those of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Only those of this category.
    category: Option<String>,
    /// Only those that have these words in their name, description or tags.
    search: Option<String>,
}

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let Input { kind, category, search } = asked.optional_input()?;
    let plugins =
        asked.host.list_plugins(asked.caller, asked.organization).await.map_err(ProblemDetails::from)?;
    let search = search.map(|search| search.to_lowercase());
    let found = plugins.into_iter().filter(|plugin| {
        let listing = &plugin.listing;
        let of_kind = kind.as_ref().is_none_or(|kind| listing.types.iter().any(|own| own.as_str() == kind));
        let texts = [Some(&plugin.name), plugin.description.as_ref()];
        let mut texts = texts.into_iter().flatten().chain(&listing.tags);
        let matches = |search: &String| texts.any(|text| text.to_lowercase().contains(search));
        of_kind
            && category.as_ref().is_none_or(|category| plugin.category.as_ref() == Some(category))
            && search.as_ref().is_none_or(matches)
    });
    let mut shown = Vec::new();
    for plugin in found {
        shown.push(shape::plugin(plugin, shape::Capabilities::Listed));
    }
    Ok(json!(shown))
}
