//! Where the host waits for a time and not for an event: each place stands here, with its reason. A pause that somebody
//! puts into the way of a start or a call makes every one of them as long as the pause.

use std::collections::BTreeMap;

use super::Finding;
use super::rust::{Kind, Source};

/// The crates through which starts and calls go.
const CRATES: [&str; 7] = [
    "crates/hayloft-egress/src/",
    "crates/hayloft-host/src/",
    "crates/hayloft-mcp/src/",
    "crates/hayloft-sandbox/src/",
    "crates/hayloft-server/src/",
    "crates/hayloft-stage/src/",
    "crates/hayloft-workers/src/",
];

/// Which files wait for a time, how often, and what for.
const WAITS: [(&str, usize, &str); 27] = [
    (
        "crates/hayloft-egress/src/dial.rs",
        1,
        "when the next address of a name is tried beside the one before",
    ),
    (
        "crates/hayloft-egress/src/jail.rs",
        3,
        "refusals are gathered before they are told, and connections are taken again after a failure",
    ),
    ("crates/hayloft-egress/src/jail/pace.rs", 1, "who sends too much is read slowly"),
    ("crates/hayloft-egress/src/outlet.rs", 1, "who sends too much is read slowly"),
    (
        "crates/hayloft-host/src/plugins/retry.rs",
        1,
        "a newer version that failed for a reason of the host is tried again",
    ),
    ("crates/hayloft-host/src/relay.rs", 1, "the database failed, and is asked again"),
    ("crates/hayloft-host/src/servers/remote/link.rs", 2, "when a server is tried again, or let go of"),
    ("crates/hayloft-host/src/upkeep.rs", 1, "what is tidied up now and then"),
    ("crates/hayloft-host/src/uses.rs", 1, "uses are gathered before they are written"),
    ("crates/hayloft-mcp/src/client/link.rs", 1, "a request's deadline"),
    ("crates/hayloft-mcp/src/client/reader.rs", 1, "who says too much unasked is read slowly"),
    (
        "crates/hayloft-mcp/src/client/remote/exchange.rs",
        1,
        "the server says when the rest of its stream is to be had",
    ),
    (
        "crates/hayloft-mcp/src/client/remote/listen.rs",
        1,
        "a stream of notices that ended is asked for again",
    ),
    ("crates/hayloft-mcp/src/client/remote/websocket.rs", 1, "signs of life"),
    ("crates/hayloft-mcp/src/server/call.rs", 1, "an answer that takes long becomes a stream"),
    ("crates/hayloft-mcp/src/server/notify.rs", 1, "signs of life"),
    (
        "crates/hayloft-server/src/linger.rs",
        1,
        "who goes on sending after its answer is listened to for a while",
    ),
    (
        "crates/hayloft-server/src/serve.rs",
        2,
        "sessions that nobody uses end now and then, and connections are taken again after a failure",
    ),
    ("crates/hayloft-workers/src/activity.rs", 1, "nobody uses a worker any more for so long"),
    (
        "crates/hayloft-workers/src/dispatcher.rs",
        2,
        "deadlines of those in the line, and of workers in the pool",
    ),
    (
        "crates/hayloft-workers/src/gate/listener.rs",
        2,
        "connections are taken at an even rate, and again after a failure",
    ),
    ("crates/hayloft-workers/src/http.rs", 1, "a response's deadline"),
    (
        "crates/hayloft-workers/src/kept/supervisor.rs",
        3,
        "a server is started again after a pause, or is silent",
    ),
    ("crates/hayloft-workers/src/logs.rs", 1, "who writes too much is read slowly"),
    ("crates/hayloft-workers/src/pace.rs", 2, "who asks too much is read slowly"),
    ("crates/hayloft-workers/src/sampler.rs", 1, "memory and processor time are measured now and then"),
    ("crates/hayloft-workers/src/unit.rs", 1, "a worker's deadlines"),
];

/// Compares what the files wait for with what stands above. The files are paths and texts.
pub(super) fn check<'a>(files: impl Iterator<Item = (&'a str, &'a Source)>) -> Vec<Finding> {
    let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (path, source) in files {
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        if !is_test && CRATES.iter().any(|folder| path.starts_with(folder)) {
            let lines = waits(source);
            if !lines.is_empty() {
                found.insert(path, lines);
            }
        }
    }
    let mut findings = Vec::new();
    for (path, known, _) in WAITS {
        let lines = found.remove(path).unwrap_or_default();
        if lines.len() != known {
            let message = format!(
                "waits for a time in {} places ({lines:?}), and {known} stand in `xtask/src/tidy/waits.rs`",
                lines.len()
            );
            findings.push(Finding::new(path, message));
        }
    }
    let others = found.into_iter().flat_map(|(path, lines)| lines.into_iter().map(move |line| (path, line)));
    findings.extend(others.map(|(path, line)| {
        let message = "waits for a time; wait for the event, or say in `xtask/src/tidy/waits.rs` what for";
        Finding::on_line(path, line, message)
    }));
    findings
}

/// The lines with a timer.
fn waits(source: &Source) -> Vec<usize> {
    let tokens = source.tokens.iter().enumerate();
    let timers = tokens.filter(|(index, token)| {
        let Kind::Word(word) = &token.kind else { return false };
        let before = index.checked_sub(1).and_then(|before| source.tokens.get(before));
        let is_own = before.is_some_and(|before| match &before.kind {
            Kind::Mark('.') => true,
            Kind::Word(word) => word == "fn",
            _ => false,
        });
        let after = source.tokens.get(index + 1).map(|after| &after.kind);
        let is_called = matches!(after, Some(Kind::Open('(')));
        match word.as_str() {
            "sleep" | "sleep_until" => !is_own && (is_called || matches!(after, Some(Kind::Close(')')))),
            "interval" | "interval_at" => !is_own && is_called,
            _ => false,
        }
    });
    timers.map(|(_, token)| token.line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let known: Vec<(&str, Source)> = WAITS
            .iter()
            .map(|(path, count, _)| (*path, Source::parse(&"fn x() { sleep(y); }".repeat(*count)).unwrap()))
            .collect();
        let source = Source::parse(text).unwrap();
        let others = known.iter().filter(|(known, _)| *known != path).map(|(path, source)| (*path, source));
        check(others.chain([(path, &source)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_timer_on_the_way_is_found() {
        let call = "crates/hayloft-host/src/tools/call.rs";
        for text in [
            "async fn x() { tokio::time::sleep(Y).await; }",
            "async fn x() { tokio::select! { () = sleep_until(y) => {} } }",
            "fn x() { let mut ticks = interval(Y); }",
            "fn x() { tokio::time::interval_at(y, z); }",
            "fn x() { y.map(sleep_until) }",
        ] {
            assert_eq!(found(call, text).len(), 1, "{text}");
        }
        for text in [
            "use tokio::time::{sleep, interval};",
            "struct X { interval: Duration } impl X { fn interval(&self) -> Duration { self.interval() } }",
            "#[cfg(test)] mod tests { async fn x() { tokio::time::sleep(Y).await; } }",
            "// sleep(y)\nfn x() {}",
        ] {
            assert_eq!(found(call, text), [] as [String; 0], "{text}");
        }
        for own in ["egress", "sandbox", "server", "stage"] {
            let path = format!("crates/hayloft-{own}/src/x.rs");
            assert_eq!(found(&path, "fn x() { sleep(y) }").len(), 1, "{own}");
        }
        assert_eq!(found("crates/hayloft-store/src/x.rs", "fn x() { sleep(y) }"), [] as [String; 0]);
    }

    #[test]
    fn a_place_with_one_more_or_one_less_is_found() {
        let relay = "crates/hayloft-host/src/relay.rs";
        assert_eq!(found(relay, "fn x() { sleep(y) }"), [] as [String; 0]);
        assert_eq!(found(relay, "fn x() { sleep(y); sleep(y) }").len(), 1);
        assert_eq!(found(relay, "fn x() {}").len(), 1);
    }
}
