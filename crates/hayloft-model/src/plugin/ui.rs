//! What a plugin adds to the dashboard.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A component in a place of the dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UiExtension {
    /// Where: free text such as `after-settings`; unknown places are shown under "more".
    pub slot: String,
    /// The component's file, relative to the plugin.
    pub component: String,
    /// The name of the tab, where the place is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tab_name: Option<String>,
    /// Where the tab stands among others, from 0 up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tab_order: Option<u32>,
    /// What the component gets beside what every component gets.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "Map<String, Value>")]
    pub props: Map<String, Value>,
}

/// A component that the plugin's other components can use by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UiComponent {
    /// Unique within the plugin.
    pub name: String,
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
    /// Its own path in the dashboard; one is made from the id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether only people who are signed in see it; they alone do if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_session: Option<bool>,
}
