//! `POST /v1/plugins/upload`

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use hayloft_host::{Downgrade, UploadPlugin, UploadPluginError, UploadedPlugin};
use hayloft_model::{Problem, Problems};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use utoipa::ToSchema;

use super::body::DetailBody;
use crate::auth::ActingFor;
use crate::openapi::refusals::{BadUpload, Inaccessible};
use crate::places::Places;
use crate::problem::{ProblemBody, ProblemDetails, ProblemEntry, entries};
use crate::query::{FromQuery, Parameters, QueryReader};
use crate::state::AppState;

/// The only field of the form.
const FIELD: &str = "file";

/// How many archives are received at once. Each holds room on the disk until it is checked.
const AT_ONCE: usize = 8;

/// How many of these one organization may send.
const OF_ONE: usize = 2;

/// How long an archive may take to arrive.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What a form may be longer than the archive in it, in bytes.
const FRAME: usize = 64 << 10;

/// When to try again after too many came at once.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The places for archives that arrive.
pub(crate) fn places() -> Places {
    Places::new(AT_ONCE, OF_ONE)
}

impl From<UploadPluginError> for ProblemDetails {
    fn from(error: UploadPluginError) -> Self {
        let told = error.to_string();
        let conflict = |slug, title, hint: &str| {
            let problem = Problem::error("file", told.clone()).hint(hint);
            Self::new(StatusCode::CONFLICT, slug, title, told.clone()).with_problems(problem.into())
        };
        match error {
            UploadPluginError::Denied(denied) => denied.into(),
            UploadPluginError::Invalid(problems) => Self::invalid(problems),
            UploadPluginError::IdTaken(_) => {
                conflict("id-taken", "The plugin's id is taken", "give the plugin another id")
            }
            UploadPluginError::IdReserved(_) => conflict(
                "id-reserved",
                "The plugin's id is reserved",
                "give the plugin another id, or ask the operator to put it into a folder of plugins",
            ),
            UploadPluginError::VersionTaken { .. } => conflict(
                "version-taken",
                "The version was uploaded before",
                "give the plugin a new version: one version is one content, for ever",
            ),
            UploadPluginError::Downgrade { .. } => conflict(
                "downgrade",
                "The version is older than the one that is there",
                "to go back on purpose, add `?allowDowngrade=true`",
            ),
            UploadPluginError::TooMany(_) => {
                conflict("too-many-plugins", "There are too many plugins", "remove one that is not used")
            }
            UploadPluginError::OverQuota(over) => {
                let problem = Problem::error("file", told.clone()).hint(over.hint());
                let title = "The organization has no more room on the disk";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "over-quota", title, told)
                    .with_problems(problem.into())
            }
            UploadPluginError::Host { source, .. } => {
                tracing::error!(error = %source, "{told}");
                Self::internal_silent()
            }
            UploadPluginError::Store(error) => Self::internal(&error),
        }
    }
}

/// How the upload is meant.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct Wish {
    /// Whether the version may be older than the one that is there; `false` by default.
    #[param(required = false)]
    allow_downgrade: bool,
}

impl FromQuery for Wish {
    fn read(query: &mut QueryReader) -> Self {
        Self { allow_downgrade: query.optional("allowDowngrade").unwrap_or_default() }
    }
}

/// The form.
#[derive(ToSchema)]
#[schema(as = UploadForm)]
#[expect(dead_code, reason = "it documents the form that is read field by field")]
pub(crate) struct FormShape {
    /// The archive: `.tgz` as `npm pack` and `hayloft plugin pack` write it, or `.zip`.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// What came of an upload.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UploadedPlugin)]
pub(crate) struct UploadedBody {
    /// The plugin's id.
    #[schema(example = "hay-plugin-tickets")]
    plugin_id: String,
    /// The version that was uploaded. An enabled plugin goes on with the version before until this one is ready.
    #[schema(example = "1.1.0")]
    version: String,
    /// Which code it is: SHA-256 of the package's files.
    content_hash: String,
    /// The version that was there before.
    #[schema(example = "1.0.0")]
    previous_version: Option<String>,
    /// Whether the very same package was there already.
    unchanged: bool,
    /// What is odd about the archive or the plugin.
    problems: Vec<ProblemEntry>,
    /// The plugin as it is now.
    plugin: DetailBody,
}

impl From<UploadedPlugin> for UploadedBody {
    fn from(uploaded: UploadedPlugin) -> Self {
        Self {
            plugin_id: uploaded.detail.summary.id.to_string(),
            version: uploaded.version,
            content_hash: uploaded.content_hash.to_string(),
            previous_version: uploaded.before,
            unchanged: uploaded.unchanged,
            problems: entries(uploaded.problems),
            plugin: uploaded.detail.into(),
        }
    }
}

/// Upload a plugin of the organization's own.
///
/// The archive is unpacked and checked; nothing of it is kept unless all of it can be used. The plugin belongs to the
/// token's organization, which alone sees it; the administrator names one in `x-organization-id`. It is not switched on
/// by that; where it is on already, the new version takes over once it is installed.
#[utoipa::path(
    post,
    path = "/v1/plugins/upload",
    operation_id = "uploadPlugin",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("x-organization-id" = Option<String>, Header, description = "The organization, for the administrator's token"),
        Wish,
    ),
    request_body(content = FormShape, content_type = "multipart/form-data"),
    responses(
        (status = CREATED, body = UploadedBody, description = "The version was taken in."),
        (status = OK, body = UploadedBody, description = "The very same package was there already."),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The id or the version is taken, or the version is older than the one that is there."),
        (status = SERVICE_UNAVAILABLE, body = ProblemBody, content_type = "application/problem+json",
            description = "Too many archives arrive at once."),
        Inaccessible,
        BadUpload,
    )
)]
pub(crate) async fn upload(
    State(state): State<AppState>,
    ActingFor { caller, organization }: ActingFor,
    Parameters(wish): Parameters<Wish>,
    request: Request,
) -> Result<(StatusCode, Json<UploadedBody>), ProblemDetails> {
    // Whoever may not is told so before anything of the archive is read.
    state.host.may_upload(&caller, organization)?;
    let place = state.uploads.take(organization).ok_or_else(|| {
        ProblemDetails::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Too many archives arrive at once",
            format!("{OF_ONE} archives of the organization, or {AT_ONCE} of all, arrive already"),
        )
        .with_retry_after(Some(TRY_AGAIN))
    })?;
    let (parts, body) = request.into_parts();
    let received = tokio::time::timeout(LONGEST, receive(&state, &parts.headers, body)).await;
    let archive = received.map_err(|_| {
        let detail = format!("the archive took more than {} minutes to arrive", LONGEST.as_secs() / 60);
        ProblemDetails::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body took too long", detail)
    })??;
    let downgrade = if wish.allow_downgrade { Downgrade::Wanted } else { Downgrade::Refused };
    let work = async move {
        let uploaded =
            state.host.upload_plugin(&caller, organization, UploadPlugin { archive, downgrade }).await;
        // It is unpacked even if whoever sent it goes away, and takes its room as long.
        drop(place);
        uploaded
    };
    let uploaded = tokio::spawn(work).await.map_err(|error| ProblemDetails::internal(&error))??;
    let status = if uploaded.unchanged { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(uploaded.into())))
}

/// Writes the one file of the form to the disk, piece by piece as it arrives.
async fn receive(state: &AppState, headers: &HeaderMap, body: Body) -> Result<NamedTempFile, ProblemDetails> {
    let limit = state.limits.upload;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit.saturating_add(FRAME) {
        return Err(ProblemDetails::content_too_large(limit));
    }
    let boundary = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| multer::parse_boundary(value).ok())
        .ok_or_else(not_a_form)?;
    let sizes =
        SizeLimit::new().whole_stream(limit.saturating_add(FRAME) as u64).for_field(FIELD, limit as u64);
    let constraints = Constraints::new().allowed_fields(vec![FIELD]).size_limit(sizes);
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let unreadable = |error: multer::Error| unreadable(&error, limit);
    let pause = state.limits.request_body_pause;
    let slow = |_| {
        ProblemDetails::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "The body took too long",
            format!("the body paused for more than {} s", pause.as_secs()),
        )
    };
    let field = tokio::time::timeout(pause, form.next_field()).await.map_err(slow)?.map_err(unreadable)?;
    let mut field: Field<'_> = field.ok_or_else(|| missing("the form has no field `file`"))?;
    let failed = |error: std::io::Error| ProblemDetails::internal(&error);
    let archive = state.host.receive_upload().map_err(failed)?;
    let mut file = tokio::fs::File::from_std(archive.reopen().map_err(failed)?);
    while let Some(piece) =
        tokio::time::timeout(pause, field.chunk()).await.map_err(slow)?.map_err(unreadable)?
    {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    drop(field);
    // A form that says two things has no meaning.
    match tokio::time::timeout(pause, form.next_field()).await.map_err(slow)?.map_err(unreadable)? {
        None => Ok(archive),
        Some(_) => Err(missing("the form has more than one field")),
    }
}

fn not_a_form() -> ProblemDetails {
    let problem = Problem::error("header.content-type", "must be `multipart/form-data` with its boundary")
        .hint("send the archive as the field `file` of a form");
    ProblemDetails::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "The body has the wrong type",
        "this operation takes `multipart/form-data`",
    )
    .with_problems(problem.into())
}

fn missing(message: &str) -> ProblemDetails {
    let problem =
        Problem::error("file", message).hint("send the archive as the only field of the form, `file`");
    ProblemDetails::bad_request("the form cannot be read", problem.into())
}

fn unreadable(error: &multer::Error, limit: usize) -> ProblemDetails {
    use multer::Error;
    match error {
        Error::FieldSizeExceeded { .. } | Error::StreamSizeExceeded { .. } => {
            ProblemDetails::content_too_large(limit)
        }
        Error::UnknownField { .. } => missing("the form has another field than `file`"),
        _ => ProblemDetails::bad_request(format!("the form cannot be read: {error}"), Problems::new()),
    }
}

#[cfg(test)]
mod tests {
    use hayloft_host::OverQuota;

    use super::*;

    #[test]
    fn each_failure_has_its_status() {
        let plugin = || "hay-plugin-a".parse().unwrap();
        let version = || String::from("1.0.0");
        let table = [
            (UploadPluginError::IdTaken(plugin()), 409),
            (UploadPluginError::IdReserved(plugin()), 409),
            (UploadPluginError::VersionTaken { plugin: plugin(), version: version() }, 409),
            (UploadPluginError::Downgrade { plugin: plugin(), version: version(), current: version() }, 409),
            (UploadPluginError::TooMany(1), 409),
            (
                UploadPluginError::OverQuota(OverQuota {
                    needed: 1,
                    taken: 1,
                    allowed: 1,
                    largest: Vec::new(),
                }),
                413,
            ),
            (UploadPluginError::Invalid(Problem::error("archive", "is none").into()), 422),
            (UploadPluginError::Host { what: "x".into(), source: std::io::Error::other("disk") }, 500),
        ];
        for (error, status) in table {
            assert_eq!(ProblemDetails::from(error).status(), status);
        }
    }
}
