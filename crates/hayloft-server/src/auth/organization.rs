//! The organization of a request: named in the path, or that of the token.

use axum::extract::{FromRequestParts, RawPathParams};
use hayloft_model::{Caller, OrganizationId, PluginId, Problem};
use http::HeaderMap;
use http::request::Parts;

use super::Authenticated;
use crate::problem::ProblemDetails;
use crate::state::AppState;

/// The field in which an administrator names the organization to act for.
pub(crate) const X_ORGANIZATION_ID: &str = "x-organization-id";

/// Extracts the caller and the organization in the path. A text that is no id names no organization, so the answer is
/// the one for unknown and foreign organizations.
#[derive(Clone, Debug)]
pub(crate) struct InOrganization {
    pub(crate) caller: Caller,
    pub(crate) organization: OrganizationId,
}

impl FromRequestParts<AppState> for InOrganization {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ProblemDetails> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let organization = path_parameter(parts, state, "org")
            .await?
            .parse()
            .map_err(|_| ProblemDetails::unknown_organization())?;
        if !caller.sees(organization) {
            return Err(ProblemDetails::unknown_organization());
        }
        Ok(Self { caller, organization })
    }
}

/// Extracts the caller, the organization and the plugin in the path. A scoped id is one percent-encoded segment.
#[derive(Clone, Debug)]
pub(crate) struct OnPlugin {
    pub(crate) caller: Caller,
    pub(crate) organization: OrganizationId,
    pub(crate) plugin: PluginId,
}

impl FromRequestParts<AppState> for OnPlugin {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ProblemDetails> {
        let InOrganization { caller, organization } =
            InOrganization::from_request_parts(parts, state).await?;
        if !state.host.organization_exists(&organization) {
            return Err(ProblemDetails::unknown_organization());
        }
        let plugin = path_parameter(parts, state, "plugin")
            .await?
            .parse()
            .map_err(|_| ProblemDetails::unknown_plugin())?;
        Ok(Self { caller, organization, plugin })
    }
}

/// Extracts the caller and the organization that it acts for where the path names none: the token's own, or for the
/// administrator the one in `x-organization-id`.
#[derive(Clone, Debug)]
pub(crate) struct ActingFor {
    pub(crate) caller: Caller,
    pub(crate) organization: OrganizationId,
}

impl FromRequestParts<AppState> for ActingFor {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ProblemDetails> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let organization = acting_for(&caller, &parts.headers)?;
        if !state.host.organization_exists(&organization) {
            return Err(ProblemDetails::unknown_organization());
        }
        Ok(Self { caller, organization })
    }
}

fn acting_for(caller: &Caller, headers: &HeaderMap) -> Result<OrganizationId, ProblemDetails> {
    let mut named = headers.get_all(X_ORGANIZATION_ID).iter();
    let organization = match (named.next(), named.next(), caller) {
        (None, _, Caller::Organization { organization, .. }) => return Ok(*organization),
        (None, _, Caller::Administrator) => {
            let problem = Problem::error(format!("header.{X_ORGANIZATION_ID}"), "is missing")
                .hint("the administrator's token is for all organizations: name one");
            return Err(ProblemDetails::bad_request("no organization is named", problem.into()));
        }
        (Some(_), Some(_), _) => {
            let problem = Problem::error(format!("header.{X_ORGANIZATION_ID}"), "stands twice");
            return Err(ProblemDetails::bad_request("more than one organization is named", problem.into()));
        }
        (Some(value), None, _) => value.to_str().ok().and_then(|text| text.parse().ok()),
    };
    organization
        .filter(|organization| caller.sees(*organization))
        .ok_or_else(ProblemDetails::unknown_organization)
}

/// A parameter of the matched path, percent-decoded.
pub(crate) async fn path_parameter(
    parts: &mut Parts,
    state: &AppState,
    name: &str,
) -> Result<String, ProblemDetails> {
    let parameters = RawPathParams::from_request_parts(parts, state).await.map_err(|_| {
        ProblemDetails::bad_request(
            "the path is not text",
            Problem::error("path", "is not UTF-8 once percent-decoded").into(),
        )
    })?;
    Ok(parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use hayloft_model::{Role, TokenId};
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_header_counts_only_for_those_who_see_the_organization() {
        let own: OrganizationId = format!("org_{:032x}", 1).parse().unwrap();
        let foreign: OrganizationId = format!("org_{:032x}", 2).parse().unwrap();
        let token: TokenId = format!("tok_{:032x}", 3).parse().unwrap();
        let member = Caller::Organization { organization: own, role: Role::Member, token };
        let cases = [
            (&member, vec![], Ok(own)),
            (&member, vec![own.to_string()], Ok(own)),
            (&member, vec![foreign.to_string()], Err(404)),
            (&member, vec!["nonsense".to_owned()], Err(404)),
            (&Caller::Administrator, vec![foreign.to_string()], Ok(foreign)),
            (&Caller::Administrator, vec![], Err(400)),
            (&Caller::Administrator, vec![own.to_string(), foreign.to_string()], Err(400)),
        ];
        for (caller, named, expected) in cases {
            let headers: HeaderMap = named
                .iter()
                .map(|id| (HeaderName::from_static(X_ORGANIZATION_ID), HeaderValue::from_str(id).unwrap()))
                .collect();
            let got = acting_for(caller, &headers).map_err(|problem| problem.status().as_u16());
            assert_eq!(got, expected, "{caller} {named:?}");
        }
    }
}
