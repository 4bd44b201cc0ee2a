//! The OpenAPI document, made from the same handlers that the router serves.
//!
//! Types of the model come from their JSON Schemas, word for word; everything else from the endpoints' own types.

use std::borrow::Cow;

use hayloft_model::Registration;
use hayloft_model::config::ConfigSchema;
use hayloft_model::plugin::{AuthMethod, CronDeclaration, Page, RouteDeclaration, UiExtension};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Ref, RefOr};
use utoipa::{Modify, OpenApi};

pub(crate) mod refusals;

/// The name of the security scheme that operations refer to.
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hayloft",
        description = "A plugin host for many organizations. Refusals are problem details (RFC 9457).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Security),
    paths(crate::endpoints::routes::proxy::proxy),
    tags(
        (name = "organizations", description = "Tenants and their tokens"),
        (name = "plugins", description = "An organization's plugins: settings, state, logs"),
        (name = "tools", description = "Tools of an organization's plugins, for programs that do not speak MCP"),
        (name = "mcp", description = "The MCP endpoint of an organization"),
        (name = "routes", description = "HTTP routes and webhooks of plugins"),
        (name = "operations", description = "For those who run this Hayloft"),
    )
)]
pub(crate) struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of an organization, or the administrator's."))
            .build();
        document
            .components
            .get_or_insert_with(Components::new)
            .add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    }
}

/// The document of everything that the router serves.
#[must_use]
pub fn openapi() -> Value {
    let (_, document) = crate::router::routes().split_for_parts();
    complete(&document)
}

/// The document with the schemas of the model's types, which utoipa only refers to.
pub(crate) fn complete(document: &utoipa::openapi::OpenApi) -> Value {
    // A document is maps, lists and texts, which always become JSON.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let schemas = document
        .as_object_mut()
        .map(|document| document.entry("components").or_insert_with(|| json!({})))
        .and_then(Value::as_object_mut)
        .map(|components| components.entry("schemas").or_insert_with(|| json!({})))
        .and_then(Value::as_object_mut);
    if let Some(schemas) = schemas {
        schemas.extend(model_schemas());
        schemas.sort_keys();
    }
    let plugin_route = document.pointer_mut("/paths/~1v1~1plugins~1{plugin}~1{path}");
    for (method, operation) in plugin_route.and_then(Value::as_object_mut).into_iter().flatten() {
        // One handler for all methods, but an operation's id must be its own (OpenAPI 3.1 section 4.8.10).
        operation["operationId"] = format!("{method}PluginRoute").into();
    }
    document
}

fn model_schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = Cow::Borrowed("/components/schemas");
        settings.meta_schema = None;
    });
    let mut generator = SchemaGenerator::new(settings);
    generator.subschema_for::<Registration>();
    generator.subschema_for::<ConfigSchema>();
    generator.subschema_for::<AuthMethod>();
    generator.subschema_for::<RouteDeclaration>();
    generator.subschema_for::<UiExtension>();
    generator.subschema_for::<Page>();
    generator.subschema_for::<CronDeclaration>();
    generator.take_definitions(true)
}

fn model(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn list_of_model(name: &str) -> RefOr<Schema> {
    RefOr::T(Schema::Array(utoipa::openapi::schema::Array::new(model(name))))
}

/// Refers to the schema of [`ConfigSchema`].
pub(crate) fn config_schema() -> RefOr<Schema> {
    model("ConfigSchema")
}

/// Refers to a list of [`AuthMethod`].
pub(crate) fn auth_methods() -> RefOr<Schema> {
    list_of_model("AuthMethod")
}

/// Refers to a list of [`RouteDeclaration`].
pub(crate) fn routes() -> RefOr<Schema> {
    list_of_model("RouteDeclaration")
}

/// Refers to a list of [`UiExtension`].
pub(crate) fn ui_extensions() -> RefOr<Schema> {
    list_of_model("UiExtension")
}

/// Refers to a list of [`Page`].
pub(crate) fn pages() -> RefOr<Schema> {
    list_of_model("Page")
}

/// Refers to a list of [`CronDeclaration`].
pub(crate) fn crons() -> RefOr<Schema> {
    list_of_model("CronDeclaration")
}

/// Refers to the schema of [`Registration`].
pub(crate) fn registration() -> RefOr<Schema> {
    model("Registration")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.insert(target.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = openapi();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/ConfigSchema"));
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
        }
    }

    #[test]
    fn every_operation_says_what_it_is_and_how_it_refuses() {
        let document = openapi();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let place = format!("{method} {path}");
                assert!(operation["summary"].is_string(), "{place} has no summary");
                assert!(operation["tags"].is_array(), "{place} has no tag");
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} stands twice");
                let responses = operation["responses"].as_object().unwrap();
                assert!(!responses.is_empty(), "{place} has no response");
                for (status, response) in responses {
                    assert!(response["description"].is_string(), "{place} says nothing about its {status}");
                }
                if operation["security"].is_array() {
                    assert!(responses.contains_key("401"), "{place} needs a token but does not say 401");
                }
            }
        }
    }
}
