//! The refusals that operations share, for the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::openapi::{Content, Ref, RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::problem::{PROBLEM_JSON, ProblemBody};

/// The token is missing or not ours.
pub(crate) struct Unauthenticated;

/// The token is missing, its role is not enough, or what the path names does not exist for it.
pub(crate) struct Inaccessible;

/// The body is not what the operation takes.
pub(crate) struct BadBody;

/// The form is not what the operation takes.
pub(crate) struct BadUpload;

/// The query is not what the operation takes.
pub(crate) struct BadQuery;

type Responses = BTreeMap<String, RefOr<Response>>;

impl IntoResponses for Unauthenticated {
    fn responses() -> Responses {
        responses(&[("401", "The bearer token is missing, unknown or revoked.")])
    }
}

impl IntoResponses for Inaccessible {
    fn responses() -> Responses {
        responses(&[
            ("401", "The bearer token is missing, unknown or revoked."),
            ("403", "The token does not allow this."),
            ("404", "What the path names does not exist, or belongs to somebody else: both look the same."),
        ])
    }
}

impl IntoResponses for BadBody {
    fn responses() -> Responses {
        responses(&[
            ("400", "The body is not JSON, nests too deep, or says one thing twice; with the place."),
            ("408", "The body took too long to arrive."),
            ("413", "The body is too large."),
            ("415", "The body is not `application/json`."),
            ("422", "The body is not valid; with every problem and its place."),
        ])
    }
}

impl IntoResponses for BadUpload {
    fn responses() -> Responses {
        responses(&[
            ("400", "The form or the query cannot be read."),
            ("408", "The form took too long to arrive."),
            ("413", "The archive is too large, or the organization has no more room on the disk."),
            ("415", "The body is not `multipart/form-data`."),
            ("422", "The archive or the plugin in it cannot be used; with every problem and its place."),
        ])
    }
}

impl IntoResponses for BadQuery {
    fn responses() -> Responses {
        responses(&[("400", "The query is not valid; with every problem.")])
    }
}

fn responses(described: &[(&str, &str)]) -> Responses {
    described
        .iter()
        .map(|(status, description)| {
            let mut response = Response::new(*description);
            let body = RefOr::Ref(Ref::from_schema_name(ProblemBody::name()));
            response.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(Content::new(Some(body))));
            ((*status).to_owned(), RefOr::T(response))
        })
        .collect()
}
