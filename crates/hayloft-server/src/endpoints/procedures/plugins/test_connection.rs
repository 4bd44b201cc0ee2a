//! `plugins.testConnection`: have a plugin judge its credentials and ask its servers for their tools, and say how it is
//! then. The worker is started for that.

use serde_json::{Value, json};

use hayloft_host::{AuthTrial, ValidateAuthError};

use super::{Asked, OfPlugin};
use crate::endpoints::plugins::health::HealthBody;
use crate::problem::ProblemDetails;
use crate::trpc::TrpcError;

pub(super) async fn answer(asked: Asked<'_>) -> Result<Value, TrpcError> {
    let id = asked.input::<OfPlugin>()?.id()?;
    let (host, caller, organization) = (asked.host, asked.caller, asked.organization);
    let asked_plugin = host.validate_auth(caller, organization, &id, AuthTrial::default()).await;
    let failure = match asked_plugin {
        Ok(verdict) if verdict.valid => None,
        Ok(verdict) => Some(verdict.error.unwrap_or_else(|| String::from("its credentials are not valid"))),
        Err(ValidateAuthError::Denied(denied)) => return Err(ProblemDetails::from(denied).into()),
        Err(ValidateAuthError::UnknownPlugin(_)) => return Err(ProblemDetails::unknown_plugin().into()),
        // How it is says the rest: what is switched off, or lacks a setting, is not unhealthy.
        Err(error @ (ValidateAuthError::NotEnabled(_) | ValidateAuthError::Unavailable(_))) => {
            Some(error.to_string())
        }
        Err(error @ ValidateAuthError::Broken(_)) => Some(error.to_string()),
    };
    let health = host.check_health(caller, organization, &id).map_err(ProblemDetails::from)?;
    let health = HealthBody::from(health);
    Ok(json!(match failure {
        Some(failure) => health.refuted(failure),
        None => health,
    }))
}
