//! One shared webhook address for all organizations: how a plugin wants its requests checked and shared out.

use hayloft_model::config::ConfigSchema;
use hayloft_model::{Problem, Problems, Severity};
use serde_json::Value;

use super::{EnvReferences, known_field};
use crate::document::Object;
use crate::words::quoted;

/// The declaration as the plugin wrote it, if nothing in it is an error.
pub(super) fn read(
    message: &Object<'_>,
    schema: &ConfigSchema,
    env: &mut EnvReferences<'_>,
    problems: &mut Problems,
) -> Option<Value> {
    let view = message.get("webhookRouting")?;
    let (problems_before, refused_before) = (problems.len(), env.refused.len());
    let routing = view.object(problems)?;
    routing.check_keys(&["signature", "verificationChallenge", "routeKeyPath"], problems);
    if let Some(signature) = routing.required("signature", problems).and_then(|view| view.object(problems)) {
        check_signature(&signature, env, problems);
    }
    if let Some(challenge) = routing.get("verificationChallenge").and_then(|view| view.object(problems)) {
        check_challenge(&challenge, schema, env, problems);
    }
    if let Some(path) = routing.required("routeKeyPath", problems).and_then(|view| view.object(problems)) {
        path.check_keys(&["itemsPath", "keyPath"], problems);
        for key in ["itemsPath", "keyPath"] {
            path.required(key, problems).and_then(|view| view.label(problems));
        }
    }
    let failed = problems.iter().skip(problems_before).any(|problem| problem.severity == Severity::Error);
    (!failed && env.refused.len() == refused_before).then(|| view.value())
}

fn check_signature(signature: &Object<'_>, env: &mut EnvReferences<'_>, problems: &mut Problems) {
    signature.check_keys(&["header", "format", "secretEnv"], problems);
    if let Some(view) = signature.required("header", problems)
        && let Some(name) = view.text(problems)
        && name.parse::<http::HeaderName>().is_err()
    {
        let message = format!("{} cannot be the name of a header", quoted(name));
        problems.push(Problem::error(view.at(), message).hint("write it as `x-hub-signature-256`"));
    }
    if let Some(view) = signature.required("format", problems)
        && let Some(format) = view.text(problems)
        && format != "sha256-hmac"
    {
        let message = format!("{} is not a known kind of signature", quoted(format));
        problems.push(Problem::error(view.at(), message).hint("known is `sha256-hmac`"));
    }
    if let Some(view) = signature.required("secretEnv", problems) {
        env.resolve(&view, problems);
    }
}

fn check_challenge(
    challenge: &Object<'_>,
    schema: &ConfigSchema,
    env: &mut EnvReferences<'_>,
    problems: &mut Problems,
) {
    let parameters = ["modeParam", "verifyTokenParam", "challengeParam"];
    challenge.check_keys(
        &["modeParam", "verifyTokenParam", "challengeParam", "verifyTokenConfigField", "verifyTokenEnv"],
        problems,
    );
    for key in parameters {
        challenge.required(key, problems).and_then(|view| view.label(problems));
    }
    let field = challenge.get("verifyTokenConfigField");
    let variable = challenge.get("verifyTokenEnv");
    if field.is_none() && variable.is_none() {
        problems.push(
            Problem::error(challenge.at(), "does not say where the token to compare with comes from")
                .hint("name a setting in `verifyTokenConfigField`, or a variable in `verifyTokenEnv`"),
        );
    }
    if let Some(view) = field {
        known_field(&view, schema, problems);
    }
    if let Some(view) = variable {
        env.resolve(&view, problems);
    }
}
