//! `GET /v1/orgs/{org}/plugins/{plugin}/installation/events`

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _};
use hayloft_host::{EventId, InstallEventsError};
use http::{HeaderMap, StatusCode};

use crate::auth::OnPlugin;
use crate::openapi::refusals::Inaccessible;
use crate::places::Places;
use crate::problem::{ProblemBody, ProblemDetails};
use crate::state::AppState;

/// How many may listen at once, to all installations together.
const AT_ONCE: usize = 256;

/// How many of them may be of one organization.
const OF_ONE: usize = 32;

/// How long somebody may listen. Who wants more comes back with the last id.
const LONGEST: Duration = Duration::from_secs(3600);

/// When to try again after too many listen.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The field in which a listener says what it heard last (WHATWG HTML, server-sent events).
const LAST_EVENT_ID: &str = "last-event-id";

/// The places for those who listen.
pub(crate) fn places() -> Places {
    Places::new(AT_ONCE, OF_ONE)
}

impl From<InstallEventsError> for ProblemDetails {
    fn from(error: InstallEventsError) -> Self {
        match error {
            InstallEventsError::Denied(denied) => denied.into(),
            InstallEventsError::UnknownPlugin(_) => Self::unknown_plugin(),
            InstallEventsError::Unreadable(problems) => Self::new(
                StatusCode::CONFLICT,
                "unreadable-plugin",
                "The plugin cannot be read",
                "the plugin's folder cannot be used, so there is nothing to install",
            )
            .with_problems(problems),
        }
    }
}

/// Follow how a plugin is installed.
///
/// Server-sent events: `step` when a step begins (`{"step":1,"steps":2,"percent":0,"title":"npm ci"}`), `line` for what
/// its programs write (`{"text":"added 3 packages"}`), and one last `done` (`{}`) or `failed` (`{"problems":[…]}`), with
/// which the stream ends. While nobody has switched the plugin on it waits. What was told is kept, half a MiB of it: send
/// `Last-Event-ID` to go on where a stream broke off.
#[utoipa::path(
    get,
    path = "/v1/orgs/{org}/plugins/{plugin}/installation/events",
    operation_id = "followPluginInstallation",
    tag = "plugins",
    security(("bearer" = [])),
    params(
        ("org" = String, Path, description = "The organization's id"),
        ("plugin" = String, Path, description = "The plugin's id, percent-encoded if scoped: `@acme%2Ftickets`"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was heard"),
    ),
    responses(
        (status = OK, body = String, content_type = "text/event-stream", description = "What happens.",
            example = "event: step\nid: 1763668800000-0-0\ndata: {\"step\":1,\"steps\":1,\"percent\":0,\"title\":\"npm ci\"}\n\nevent: done\nid: 1763668800000-0-1\ndata: {}\n\n"),
        (status = CONFLICT, body = ProblemBody, content_type = "application/problem+json",
            description = "The plugin cannot be read, so it is never installed."),
        (status = SERVICE_UNAVAILABLE, body = ProblemBody, content_type = "application/problem+json",
            description = "Too many listen at once."),
        Inaccessible,
    )
)]
pub(crate) async fn install_events(
    State(state): State<AppState>,
    OnPlugin { caller, organization, plugin }: OnPlugin,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ProblemDetails> {
    // What is no id of ours was not heard from us.
    let after = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse::<EventId>().ok());
    let events = state.host.install_events(&caller, organization, &plugin, after)?;
    let place = state.listeners.take(organization).ok_or_else(|| {
        ProblemDetails::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Too many listen at once",
            format!("{OF_ONE} of the organization, or {AT_ONCE} of all, listen already"),
        )
        .with_retry_after(Some(TRY_AGAIN))
    })?;
    let draining = state.draining.clone();
    let over = async move {
        // Whichever comes first: neither the host's end nor a listener's patience waits for the other.
        drop(tokio::time::timeout(LONGEST, draining.cancelled_owned()).await);
    };
    let events = events.take_until(Box::pin(over)).map(move |(id, event)| {
        let _place = &place;
        let shown = Event::default().event(event.name()).id(id.to_string());
        // An event is numbers and texts, which always become JSON.
        Ok(shown.json_data(&event).unwrap_or_default())
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
