//! What a plugin adds to the dashboard.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A component in a place of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UiExtension {
    /// Where: free text such as `after-settings`; unknown places are shown under "more".
    pub slot: String,
    /// The component's file, relative to the plugin.
    pub component: String,
}

/// A page of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// Unique within the plugin.
    pub id: String,
    /// What a person reads.
    pub title: String,
    /// The component's file, relative to the plugin.
    pub component: String,
    /// The name of an icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// `standalone`, `after-settings` or `before-settings`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Whether it shows only once the plugin is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_setup: Option<bool>,
}
