//! What the programs wrote that made a package: cut into lines, made harmless, bounded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hayloft_model::{Problem, Problems, Severity};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::progress::{InstallEvent, Told};

/// Most that is kept, in bytes. Why something failed stands at the end.
const MOST: usize = 1 << 20;

/// Longest line, in bytes. The rest of a longer one is the next line.
const LONGEST_LINE: usize = 4 << 10;

/// The log of one run.
#[derive(Debug, Default)]
pub(crate) struct RunLog {
    kept: Mutex<Kept>,
    /// What was left undone, and the package is whole without.
    warnings: Mutex<Problems>,
    /// The same for those who listen, with what happened beside.
    pub(crate) told: Told,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: u64,
}

impl RunLog {
    /// Adds a line of ours.
    pub(crate) fn note(&self, text: &str) {
        self.line(text.as_bytes());
    }

    /// Adds what was left undone: no error any more.
    pub(crate) fn warn(&self, problems: Problems) {
        let warnings = problems.into_iter().map(|problem| Problem { severity: Severity::Warning, ..problem });
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend(warnings);
    }

    /// What was left undone.
    pub(crate) fn warnings(&self) -> Problems {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that is kept.
    pub(crate) fn text(&self) -> String {
        let kept = self.kept();
        let mut text = match kept.dropped {
            0 => String::new(),
            dropped => format!("({dropped} lines before these were dropped)\n"),
        };
        for line in &kept.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The last lines, oldest first.
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        let kept = self.kept();
        kept.lines.iter().skip(kept.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// Takes all that somebody writes.
    pub(crate) async fn take(&self, mut from: impl AsyncRead + Unpin) {
        let mut line = Vec::new();
        let mut buffer = vec![0; LONGEST_LINE];
        while let Ok(read) = from.read(&mut buffer).await {
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            for byte in bytes {
                if *byte == b'\n' || line.len() == LONGEST_LINE {
                    self.line(&line);
                    line.clear();
                }
                if *byte != b'\n' {
                    line.push(*byte);
                }
            }
        }
        if !line.is_empty() {
            self.line(&line);
        }
    }

    fn line(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut line = String::with_capacity(text.len());
        for character in text.trim_end_matches('\r').chars() {
            // What steers a terminal or forges a line is shown and not done.
            match character {
                '\t' => line.push(character),
                steering if steering.is_control() || ('\u{2028}'..='\u{202e}').contains(&steering) => {
                    line.extend(steering.escape_unicode());
                }
                other => line.push(other),
            }
        }
        self.told.tell(InstallEvent::Line { text: line.clone() });
        let mut kept = self.kept();
        kept.bytes += line.len() + size_of::<String>();
        kept.lines.push_back(line);
        while kept.bytes > MOST
            && let Some(oldest) = kept.lines.pop_front()
        {
            kept.bytes -= oldest.len() + size_of::<String>();
            kept.dropped += 1;
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_kept_within_bounds_and_steer_nothing() {
        let log = RunLog::default();
        log.take(&b"one\r\n\x1b[2Jtwo\n\xff\nlast"[..]).await;
        assert_eq!(log.text(), "one\n\\u{1b}[2Jtwo\n\u{fffd}\nlast\n");

        let flood = vec![b'x'; 3 << 20];
        log.take(&*flood).await;
        log.note("the end");
        let text = log.text();
        assert!(text.len() < MOST + LONGEST_LINE, "{}", text.len());
        assert!(text.starts_with('(') && text.ends_with("the end\n"));
        assert_eq!(log.tail(1), ["the end"]);
    }
}
