//! What workers write: cut into lines, made harmless, bounded, and kept for the instance across restarts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hayloft_model::config::ConfigValues;
use hayloft_model::secret::MASK;
use hayloft_model::{Clock, InstanceKey, Secret, WorkerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use crate::LogLimits;
use crate::protocol::{WireError, WireProblem};

/// So many lines are somebody's last ones. After what a failing engine says comes where in the program it was.
const LAST_LINES: usize = 64;

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

    fn keep(&self, line: LogLine, bytes: usize) {
        // A line costs more than its text; without that, empty lines would fill the memory.
        let bytes = bytes + size_of::<(usize, LogLine)>();
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
    logs: Arc<Logs>,
    clock: Arc<dyn Clock>,
    worker: WorkerId,
    masks: Arc<RwLock<Masks>>,
}

impl WorkerLog {
    pub(crate) fn new(logs: Arc<Logs>, clock: Arc<dyn Clock>, worker: WorkerId) -> Self {
        Self { logs, clock, worker, masks: Arc::default() }
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
        let limits = self.logs.limits;
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
        let lines = self.logs.tail(LAST_LINES);
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
        self.logs.keep(line, bytes);
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

/// Shorter values are no secrets that could be told from ordinary words.
const SHORTEST_SECRET: usize = 6;

/// Of the secrets that came later so many are known, and so many bytes of them; the oldest ones are forgotten first. A
/// plugin that renews its credentials without end does not fill the host's memory.
const LATER_SECRETS: usize = 256;
const LATER_BYTES: usize = 1 << 20;

/// The secrets of one worker.
#[derive(Default)]
struct Masks {
    /// What it was bound to: never forgotten.
    bound: Vec<Secret<String>>,
    later: VecDeque<Secret<String>>,
    later_bytes: usize,
    /// All of them as they are looked for: a secret that contains another one goes first, or its rest would stay
    /// readable.
    ordered: Vec<Secret<String>>,
}

impl Masks {
    fn bind(&mut self, secrets: &[Secret<String>]) {
        self.bound.extend(secrets.iter().filter(|secret| is_long(secret.expose())).cloned());
        self.order();
    }

    fn add(&mut self, values: &ConfigValues) {
        let mut texts = Vec::new();
        values.iter().for_each(|(_, value)| long_texts(value, &mut texts));
        for text in texts {
            // One that is renewed to what it was is as good as new.
            let known = self.later.iter().position(|secret| secret.expose() == text);
            let secret = known.and_then(|known| self.later.remove(known)).unwrap_or_else(|| {
                self.later_bytes += text.len();
                Secret::new(text.to_owned())
            });
            self.later.push_back(secret);
        }
        while self.later.len() > LATER_SECRETS || self.later_bytes > LATER_BYTES {
            let Some(oldest) = self.later.pop_front() else { break };
            self.later_bytes -= oldest.expose().len();
        }
        self.order();
    }

    fn order(&mut self) {
        self.ordered = self.bound.iter().chain(&self.later).cloned().collect();
        self.ordered.sort_by(|one, other| {
            let (one, other) = (one.expose(), other.expose());
            other.len().cmp(&one.len()).then_with(|| one.cmp(other))
        });
        self.ordered.dedup();
    }

    fn apply(&self, text: &str) -> String {
        self.ordered.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) { text.replace(secret.expose(), MASK) } else { text }
        })
    }
}

/// The first texts of a value that are long enough; what has more of them is no credential.
fn long_texts<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    if into.len() >= LATER_SECRETS {
        return;
    }
    match value {
        Value::String(text) if is_long(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| long_texts(item, into)),
        Value::Object(fields) => fields.values().for_each(|item| long_texts(item, into)),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

fn is_long(text: &str) -> bool {
    text.len() >= SHORTEST_SECRET
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

/// Cuts a stream into lines and never holds more than one of the longest.
struct LineCutter {
    limit: usize,
    line: Vec<u8>,
    /// Bytes of the present line beyond the limit.
    cut: usize,
}

impl LineCutter {
    const fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), cut: 0 }
    }

    fn cut(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8], usize)) {
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = self.limit.saturating_sub(self.line.len()).min(piece.len());
            self.line.extend_from_slice(&piece[..room]);
            self.cut += piece.len() - room;
            if pieces.peek().is_some() {
                self.end(&mut each);
            }
        }
    }

    fn finish(&mut self, mut each: impl FnMut(&[u8], usize)) {
        if !self.line.is_empty() {
            self.end(&mut each);
        }
    }

    fn end(&mut self, each: &mut impl FnMut(&[u8], usize)) {
        each(self.line.strip_suffix(b"\r").unwrap_or(&self.line), self.cut);
        self.line.clear();
        self.cut = 0;
    }
}

/// What a worker may still write until the next renewal.
struct Budget {
    rate: usize,
    left: usize,
    renewal: Instant,
    dropped_lines: u64,
    dropped_bytes: usize,
}

const PERIOD: Duration = Duration::from_secs(1);

/// Dropping lines costs little, reading for ever does not: beyond so many times the rate the writer has to wait.
const FLOOD: usize = 8;

impl Budget {
    fn new(rate: usize) -> Self {
        Self { rate, left: rate, renewal: Instant::now() + PERIOD, dropped_lines: 0, dropped_bytes: 0 }
    }

    fn renew(&mut self, log: &WorkerLog) {
        let now = Instant::now();
        if self.renewal <= now {
            self.report(log);
            self.left = self.rate;
            self.renewal = now + PERIOD;
        }
    }

    fn allows(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes.max(1)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left = 0;
                self.dropped_lines += 1;
                self.dropped_bytes += bytes;
                false
            }
        }
    }

    fn is_flooded(&self) -> bool {
        self.dropped_bytes > self.rate.saturating_mul(FLOOD)
    }

    fn report(&mut self, log: &WorkerLog) {
        if self.dropped_lines > 0 {
            let Self { rate, dropped_lines, dropped_bytes, .. } = self;
            log.host(
                Level::Warn,
                format!("{dropped_lines} lines ({dropped_bytes} bytes) were dropped: more than {rate} bytes in a second"),
            );
        }
        (self.dropped_lines, self.dropped_bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
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
    fn secrets_that_come_later_are_masked_as_well_and_bounded() {
        let values = |text: String| -> ConfigValues {
            [("token".to_owned(), json!({ "nested": [text, "eu"] }))].into_iter().collect()
        };
        let mut masks = Masks::default();
        masks.bind(&[Secret::new("bound-secret".to_owned())]);
        masks.add(&values("bound-secret-and-more".into()));
        assert_eq!(masks.apply("bound-secret-and-more, bound-secret, eu"), format!("{MASK}, {MASK}, eu"));
        for index in 0..2 * LATER_SECRETS {
            masks.add(&values(format!("token-{index:05}")));
            masks.add(&values("token-00000".into()));
        }
        let last = 2 * LATER_SECRETS - 1;
        let told = masks.apply(&format!("bound-secret token-00000 token-00001 token-{last:05}"));
        assert_eq!(told, format!("{MASK} {MASK} token-00001 {MASK}"));
        for index in 0..4 {
            masks.add(&values(format!("{index}").repeat(LATER_BYTES / 2)));
            assert!(masks.later_bytes <= LATER_BYTES);
        }
        let bytes: usize = masks.later.iter().map(|secret| secret.expose().len()).sum();
        assert_eq!((masks.later_bytes, masks.later.len()), (bytes, 2));
        assert_eq!(masks.apply("bound-secret"), MASK);
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
