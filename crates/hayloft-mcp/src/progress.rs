//! Progress of a running call, on its way from the server that reports it to the client that asked for it.
//!
//! A report passes raw but for its token, which means something only within one session and is replaced on the way.

use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::message::fields::Fields;
use crate::message::write;

/// Reports that wait to be sent to a slow client; more are dropped, as progress is only ever a hint.
const WAITING: usize = 64;

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// An object without `progressToken`.
    fields: String,
}

impl Progress {
    /// A report of our own. `progress` must grow with every report; `total` is its unknown or known end.
    #[must_use]
    pub fn new(progress: f64, total: Option<f64>, message: Option<&str>) -> Self {
        let mut fields = serde_json::Map::new();
        fields.insert("progress".to_owned(), progress.into());
        if let Some(total) = total {
            fields.insert("total".to_owned(), total.into());
        }
        if let Some(message) = message {
            fields.insert("message".to_owned(), message.into());
        }
        Self { fields: serde_json::Value::Object(fields).to_string() }
    }

    /// Takes the `params` of a `notifications/progress` apart into token and report.
    pub(crate) fn of_params(params: &RawValue) -> Option<(&RawValue, Self)> {
        let mut fields = Fields::of(params)?;
        let token = fields.take("progressToken")?;
        Some((token, Self { fields: fields.to_json(None) }))
    }

    /// The report as a JSON object with `progress`, and `total`, `message` and whatever else the server wrote.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.fields
    }

    /// The notification under the token of a client, given as JSON.
    pub(crate) fn notification(&self, token: &str) -> Vec<u8> {
        let rest = self.fields.strip_prefix('{').unwrap_or("}");
        let comma = if rest == "}" { "" } else { "," };
        write::notification(
            "notifications/progress",
            Some(&format!(r#"{{"progressToken":{token}{comma}{rest}"#)),
        )
    }
}

/// Where the reports of one call go. Sending never waits.
#[derive(Clone, Debug)]
pub struct ProgressSink(mpsc::Sender<Progress>);

impl ProgressSink {
    /// Hands a report on, or drops it when the receiver is behind or gone.
    pub fn send(&self, progress: Progress) {
        // A dropped report costs the reader a step of a progress bar; waiting would hold up every other call.
        drop(self.0.try_send(progress));
    }
}

/// A sink and the end that reads it.
#[must_use]
pub fn progress_channel() -> (ProgressSink, mpsc::Receiver<Progress>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (ProgressSink(sender), receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_changes_only_its_token() {
        let cases = [
            (
                r#"{"progressToken":3,"progress":1e2,"x":{"y" : 1}}"#,
                r#"{"progressToken":"t","progress":1e2,"x":{"y" : 1}}"#,
            ),
            (r#"{"progress":1,"progressToken":3}"#, r#"{"progressToken":"t","progress":1}"#),
            (r#"{"progressToken":3}"#, r#"{"progressToken":"t"}"#),
        ];
        for (params, expected) in cases {
            let raw = RawValue::from_string(params.to_owned()).unwrap();
            let (token, progress) = Progress::of_params(&raw).unwrap();
            assert_eq!(token.get(), "3");
            let text = write::into_text(progress.notification("\"t\""));
            assert_eq!(
                text,
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{expected}}}"#)
            );
        }
    }

    #[test]
    fn reports_of_our_own_have_the_fields_of_the_protocol() {
        assert_eq!(
            Progress::new(1.0, Some(4.0), Some("a")).as_json(),
            r#"{"progress":1.0,"total":4.0,"message":"a"}"#
        );
        assert_eq!(Progress::new(0.5, None, None).as_json(), r#"{"progress":0.5}"#);
    }

    #[tokio::test]
    async fn a_full_or_forgotten_sink_swallows() {
        let (sink, mut receiver) = progress_channel();
        for step in 0..=WAITING {
            sink.send(Progress::new(step as f64, None, None));
        }
        assert_eq!(receiver.len(), WAITING);
        assert_eq!(receiver.recv().await.unwrap().as_json(), r#"{"progress":0.0}"#);
        drop(receiver);
        sink.send(Progress::new(1.0, None, None));
    }
}
