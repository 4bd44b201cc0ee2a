//! The bearer token of a request (RFC 6750 section 2.1).

use axum::extract::FromRequestParts;
use hayloft_model::Caller;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::problem::ProblemDetails;
use crate::state::AppState;

/// Extracts the caller. Everybody else gets 401, with the same words whether a token was wrong or revoked.
#[derive(Clone, Debug)]
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ProblemDetails> {
        authenticate(&parts.headers, |token| state.host.authenticate(token)).map(Self)
    }
}

/// The caller of a request that needs none: whoever holds a token of this host, and nobody else.
pub(crate) fn caller(headers: &HeaderMap, state: &AppState) -> Option<Caller> {
    bearer(headers).and_then(|token| state.host.authenticate(token))
}

fn authenticate(
    headers: &HeaderMap,
    known: impl FnOnce(&str) -> Option<Caller>,
) -> Result<Caller, ProblemDetails> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(ProblemDetails::unauthorized(
            r#"Bearer realm="hayloft""#,
            "the request has no `Authorization: Bearer` field",
        ));
    }
    bearer(headers).and_then(known).ok_or_else(|| {
        ProblemDetails::unauthorized(
            r#"Bearer realm="hayloft", error="invalid_token""#,
            "the bearer token is not, or no longer, a token of this Hayloft",
        )
    })
}

/// The token, if there is exactly one and it has the shape of one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let fits = !token.is_empty() && token.len() <= 512 && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http::HeaderValue;
    use http::header::WWW_AUTHENTICATE;

    use super::*;

    fn ask(values: &[&'static str]) -> Result<Caller, ProblemDetails> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        authenticate(&headers, |token| (token == "good").then_some(Caller::Administrator))
    }

    #[test]
    fn one_bearer_token_is_needed() {
        for good in ["Bearer good", "bearer good", "BEARER  good "] {
            assert!(ask(&[good]).is_ok(), "{good}");
        }
        for bad in
            ["Bearer bad", "Bearer", "Bearer ", "Basic good", "good", "Bearer good good", "Bearer\tgood"]
        {
            assert!(ask(&[bad]).is_err(), "{bad}");
        }
        assert!(ask(&["Bearer good", "Bearer good"]).is_err());
    }

    #[test]
    fn the_challenge_says_whether_a_token_was_given() {
        for (values, challenge) in [
            (&[][..], r#"Bearer realm="hayloft""#),
            (&["Bearer bad"][..], r#"Bearer realm="hayloft", error="invalid_token""#),
        ] {
            let response = ask(values).unwrap_err().into_response();
            assert_eq!(response.status(), 401);
            assert_eq!(response.headers()[WWW_AUTHENTICATE], challenge);
        }
    }
}
