//! What workers write: cut into lines, made harmless, bounded, and kept for the instance across restarts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use chrono::{DateTime, Utc};
use hayloft_model::config::ConfigValues;
use hayloft_model::{Clock, InstanceKey, Secret, WorkerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::LogLimits;
use crate::protocol::{WireError, WireProblem};

mod masks;
mod stream;

use masks::Masks;
use stream::{Budget, LineCutter};

/// So many lines are somebody's last ones. After what a failing engine says comes where in the program it was.
const LAST_LINES: usize = 64;

/// What a line costs beside its text, in bytes; without that, empty lines would fill the memory.
const LINE: usize = size_of::<(usize, LogLine)>();

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// When the host read it.
    pub at: DateTime<Utc>,
    /// Who wrote it.
    pub worker: WorkerId,
    /// Where it was written.
    pub stream: LogStream,
    /// How serious its writer found it.
    pub level: Level,
    /// The text; control characters are escaped and values of the organization's secrets masked.
    pub message: String,
    /// What a structured line carried along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LogStream {
    /// The worker's standard output, where the plugin's logger writes.
    Stdout,
    /// The worker's standard error.
    Stderr,
    /// The standard error of one of its MCP servers.
    Server,
    /// The host, about the worker.
    Host,
}

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// What happens in the normal course.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// The kept lines of all instances that ever ran and were not forgotten.
#[derive(Debug, Default)]
pub(crate) struct KeptLogs {
    instances: Mutex<HashMap<InstanceKey, Arc<Logs>>>,
}

impl KeptLogs {
    /// Where a worker of the instance writes.
    pub(crate) fn of(&self, key: &InstanceKey, limits: LogLimits) -> Arc<Logs> {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(instances.entry(key.clone()).or_insert_with(|| Logs::new(limits)))
    }

    /// What was written, if any worker of the instance ran.
    pub(crate) fn find(&self, key: &InstanceKey) -> Option<Arc<Logs>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)
    }

    pub(crate) fn forget(&self, key: &InstanceKey) {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The kept lines of one instance.
#[derive(Debug)]
pub(crate) struct Logs {
    limits: LogLimits,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<(usize, LogLine)>,
    bytes: usize,
}

impl Logs {
    pub(crate) fn new(limits: LogLimits) -> Arc<Self> {
        Arc::new(Self { limits, kept: Mutex::default() })
    }

    /// The last lines, oldest first.
    pub(crate) fn tail(&self, count: usize) -> Vec<LogLine> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = kept.lines.len().saturating_sub(count);
        kept.lines.iter().skip(skipped).map(|(_, line)| line.clone()).collect()
    }

    /// Gives all lines away, each with what it costs.
    fn take(&self) -> VecDeque<(usize, LogLine)> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner)).lines
    }

    fn keep(&self, line: LogLine, bytes: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += bytes;
        kept.lines.push_back((bytes, line));
        while kept.bytes > self.limits.buffer
            && let Some((oldest, _)) = kept.lines.pop_front()
        {
            kept.bytes -= oldest;
        }
    }
}

/// Writes the lines of one worker. Clones write for the same one.
#[derive(Clone)]
pub(crate) struct WorkerLog {
    logs: Arc<RwLock<Arc<Logs>>>,
    clock: Arc<dyn Clock>,
    worker: WorkerId,
    masks: Arc<RwLock<Masks>>,
}

impl WorkerLog {
    pub(crate) fn new(logs: Arc<Logs>, clock: Arc<dyn Clock>, worker: WorkerId) -> Self {
        Self { logs: Arc::new(RwLock::new(logs)), clock, worker, masks: Arc::default() }
    }

    /// From now on writes there, and moves there what was written already.
    pub(crate) fn move_to(&self, logs: Arc<Logs>) {
        // Whoever writes waits that long, so that no line is lost or comes before an older one.
        let mut here = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *here, logs);
        for (bytes, line) in before.take() {
            here.keep(line, bytes);
        }
    }

    fn logs(&self) -> RwLockReadGuard<'_, Arc<Logs>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on masks the secrets that the worker is bound to.
    pub(crate) fn mask(&self, secrets: &[Secret<String>]) {
        self.masks.write().unwrap_or_else(PoisonError::into_inner).bind(secrets);
    }

    /// From now on masks every text among values that came later, too.
    pub(crate) fn mask_later(&self, values: &ConfigValues) {
        self.masks.write().unwrap_or_else(PoisonError::into_inner).add(values);
    }

    /// Writes a line of the host's own.
    pub(crate) fn host(&self, level: Level, message: impl Into<String>) {
        self.write(LogStream::Host, level, &message.into(), None);
    }

    /// Reads a stream to its end. It never reads faster than a few times the allowed rate, so that a flood holds up
    /// its writer and not the host.
    pub(crate) async fn follow(self, stream: LogStream, mut source: impl AsyncRead + Unpin) {
        let limits = self.logs().limits;
        let mut chunk = vec![0; 16 << 10];
        let mut lines = LineCutter::new(limits.line);
        let mut budget = Budget::new(limits.rate);
        while let Ok(count) = source.read(&mut chunk).await
            && count > 0
        {
            budget.renew(&self);
            lines.cut(&chunk[..count], |line, cut| self.take(stream, line, cut, &mut budget));
            if budget.is_flooded() {
                tokio::time::sleep_until(budget.renewal).await;
            }
        }
        lines.finish(|line, cut| self.take(stream, line, cut, &mut budget));
        budget.report(&self);
    }

    /// Whether one of the worker's last lines on a stream has one of these texts.
    pub(crate) fn ended_with(&self, stream: LogStream, texts: &[&str]) -> bool {
        let lines = self.logs().tail(LAST_LINES);
        let mut own = lines.iter().filter(|line| line.worker == self.worker && line.stream == stream);
        own.any(|line| texts.iter().any(|text| line.message.contains(text)))
    }

    fn take(&self, stream: LogStream, line: &[u8], cut: usize, budget: &mut Budget) {
        if !budget.allows(line.len() + cut) {
            return;
        }
        let mut text = String::from_utf8_lossy(line).into_owned();
        if cut > 0 {
            text.push_str(&format!("… ({cut} bytes cut off)"));
        }
        match (stream, serde_json::from_str::<Structured>(&text)) {
            (LogStream::Stdout, Ok(line)) => self.write(stream, line.level, &line.message, line.meta),
            (LogStream::Stdout | LogStream::Host, _) => self.write(stream, Level::Info, &text, None),
            (LogStream::Stderr | LogStream::Server, _) => self.write(stream, Level::Warn, &text, None),
        }
    }

    fn write(&self, stream: LogStream, level: Level, message: &str, meta: Option<Value>) {
        let message = self.harmless(message);
        let meta = meta.map(|meta| self.harmless_meta(meta));
        let bytes = message.len() + meta.as_ref().map_or(0, |meta| meta.to_string().len());
        let line = LogLine { at: self.clock.now(), worker: self.worker, stream, level, message, meta };
        self.logs().keep(line, bytes + LINE);
    }

    fn harmless(&self, text: &str) -> String {
        escape(&self.masked(text))
    }

    /// The text without the worker's secrets, as it may leave for anybody.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.masks.read().unwrap_or_else(PoisonError::into_inner).apply(text)
    }

    /// As [`Self::masked`], for every text in a value.
    pub(crate) fn masked_value(&self, value: Value) -> Value {
        each_text(value, &|text| self.masked(text))
    }

    /// As [`Self::masked`], for everything that an error says. It is to be asked before anything is cut off, since the
    /// beginning of a secret would not be recognised.
    pub(crate) fn masked_error(&self, error: WireError) -> WireError {
        let problems = error.problems.into_iter().map(|problem| WireProblem {
            at: self.masked(&problem.at),
            message: self.masked(&problem.message),
            hint: problem.hint.map(|hint| self.masked(&hint)),
        });
        WireError {
            problems: problems.collect(),
            name: self.masked(&error.name),
            message: self.masked(&error.message),
            stack: error.stack.map(|stack| self.masked(&stack)),
            reason: error.reason,
        }
    }

    fn harmless_meta(&self, meta: Value) -> Value {
        each_text(meta, &|text| self.harmless(text))
    }
}

/// A value with every text in it changed, names of fields included.
fn each_text(value: Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(items) => items.into_iter().map(|item| each_text(item, change)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (change(&name), each_text(value, change))).collect()
        }
        plain => plain,
    }
}

/// What the runner's logger writes. A line with any other field is a text like any other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Structured {
    level: Level,
    message: String,
    meta: Option<Value>,
}

/// Replaces what a terminal, a log viewer or a reader of lines would act upon.
fn escape(text: &str) -> String {
    let acts = |character: char| {
        (character.is_control() && character != '\t')
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) {
            harmless.extend(character.escape_unicode());
        } else {
            harmless.push(character);
        }
    }
    harmless
}

#[cfg(test)]
mod tests {
    use hayloft_model::secret::MASK;
    use serde_json::json;

    use super::*;

    struct NoTime;

    impl Clock for NoTime {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH
        }
    }

    async fn lines(limits: LogLimits, stream: LogStream, input: &[u8]) -> Vec<LogLine> {
        let logs = Logs::new(limits);
        let worker = "wrk_00000000000000000000000000000001".parse().unwrap();
        let log = WorkerLog::new(Arc::clone(&logs), Arc::new(NoTime), worker);
        log.mask(&["sk_live_1", "sk_live_12", "hidden!", "eu"].map(|secret| Secret::new(secret.to_owned())));
        log.follow(stream, input).await;
        logs.tail(usize::MAX)
    }

    async fn texts(stream: LogStream, input: &[u8]) -> Vec<(Level, String)> {
        let lines = lines(LogLimits::default(), stream, input).await;
        lines.into_iter().map(|line| (line.level, line.message)).collect()
    }

    #[tokio::test]
    async fn lines_are_made_harmless() {
        for (input, expected) in [
            (&b"plain\n"[..], "plain"),
            (b"no newline", "no newline"),
            (b"carriage\r\n", "carriage"),
            (b"\x1b[31mred\x07 \x9b\n", "\\u{1b}[31mred\\u{7} \u{fffd}"),
            ("a\u{2028}b\u{202e}c".as_bytes(), "a\\u{2028}b\\u{202e}c"),
            (b"nul\0 tab\t\n", "nul\\u{0} tab\t"),
            (b"key=sk_live_1; eu\n", &format!("key={MASK}; eu")),
        ] {
            assert_eq!(texts(LogStream::Stdout, input).await, [(Level::Info, expected.to_owned())]);
        }
    }

    #[tokio::test]
    async fn a_structured_line_chooses_level_message_and_meta_only() {
        let input = br#"{"level":"error","message":"a\u001b[2Jb","meta":{"k":"sk_live_12","n":1}}"#;
        let got = lines(LogLimits::default(), LogStream::Stdout, input).await;
        assert_eq!((got[0].level, got[0].message.as_str()), (Level::Error, "a\\u{1b}[2Jb"));
        assert_eq!(got[0].meta, Some(json!({ "k": MASK, "n": 1 })));
        for forged in [
            r#"{"level":"info","message":"x","worker":"wrk_other"}"#,
            r#"{"level":"panic","message":"x"}"#,
            r#"{"message":"x"}"#,
        ] {
            assert_eq!(texts(LogStream::Stdout, forged.as_bytes()).await, [(Level::Info, forged.to_owned())]);
        }
        assert_eq!(texts(LogStream::Stderr, b"hidden! eu").await, [(Level::Warn, format!("{MASK} eu"))]);
    }

    #[test]
    fn what_was_never_written_is_not_kept() {
        let kept = KeptLogs::default();
        let key = |number: u8| InstanceKey {
            organization: format!("org_{number:032x}").parse().unwrap(),
            plugin: "hay-plugin-test".parse().unwrap(),
        };
        assert!(kept.find(&key(1)).is_none());
        let _ = kept.of(&key(2), LogLimits::default());
        assert!(kept.find(&key(2)).is_some());
        assert_eq!(kept.instances.lock().unwrap().len(), 1);
        kept.forget(&key(2));
        assert_eq!(kept.instances.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_long_line_is_cut() {
        let limits = LogLimits { line: 4, ..LogLimits::default() };
        let got = lines(limits, LogStream::Stdout, b"abcdefgh\nij\n").await;
        let got: Vec<_> = got.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(got, ["abcd… (4 bytes cut off)", "ij"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_the_memory_bounded() {
        let limits = LogLimits { line: 100, buffer: 10_000, rate: 5_000 };
        let input = b"0123456789\n".repeat(20_000);
        let got = lines(limits, LogStream::Stdout, &input).await;
        assert!(got.len() < 200, "{}", got.len());
        let dropped = got.iter().filter(|line| line.stream == LogStream::Host).count();
        assert!(dropped >= 1);
        assert!(got.last().unwrap().message.contains("bytes in a second"));
    }
}
