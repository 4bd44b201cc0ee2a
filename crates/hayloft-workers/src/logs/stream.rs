//! A worker's stream: cut into lines, and bounded by what it may write in a second.

use std::time::Duration;

use tokio::time::Instant;

use super::{Level, WorkerLog};

/// Cuts a stream into lines and never holds more than one of the longest.
pub(super) struct LineCutter {
    limit: usize,
    line: Vec<u8>,
    /// Bytes of the present line beyond the limit.
    cut: usize,
}

impl LineCutter {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), cut: 0 }
    }

    pub(super) fn cut(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8], usize)) {
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

    pub(super) fn finish(&mut self, mut each: impl FnMut(&[u8], usize)) {
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
pub(super) struct Budget {
    rate: usize,
    left: usize,
    pub(super) renewal: Instant,
    dropped_lines: u64,
    dropped_bytes: usize,
}

const PERIOD: Duration = Duration::from_secs(1);

/// Dropping lines costs little, reading for ever does not: beyond so many times the rate the writer has to wait.
const FLOOD: usize = 8;

impl Budget {
    pub(super) fn new(rate: usize) -> Self {
        Self { rate, left: rate, renewal: Instant::now() + PERIOD, dropped_lines: 0, dropped_bytes: 0 }
    }

    pub(super) fn renew(&mut self, log: &WorkerLog) {
        let now = Instant::now();
        if self.renewal <= now {
            self.report(log);
            self.left = self.rate;
            self.renewal = now + PERIOD;
        }
    }

    pub(super) fn allows(&mut self, bytes: usize) -> bool {
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

    pub(super) fn is_flooded(&self) -> bool {
        self.dropped_bytes > self.rate.saturating_mul(FLOOD)
    }

    pub(super) fn report(&mut self, log: &WorkerLog) {
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
