//! Where lines go.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::counts::Counts;

/// Writes lines whole and in order: one `write` a line, while the lock is held. A line that can't be written is
/// counted, and logging goes on.
pub(crate) struct LogWriter {
    out: Mutex<Box<dyn Write + Send>>,
    counts: Arc<Counts>,
}

impl LogWriter {
    pub(crate) fn new(out: Box<dyn Write + Send>, counts: Arc<Counts>) -> Self {
        Self { out: Mutex::new(out), counts }
    }

    pub(crate) fn write(&self, line: &[u8]) {
        let written = self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(line);
        match written {
            Ok(()) => self.counts.log_lines.add(1),
            Err(_) => self.counts.log_lines_lost.add(1),
        }
    }

    /// Hands on what the writer itself holds back.
    pub(crate) fn flush(&self) {
        if self.out.lock().unwrap_or_else(PoisonError::into_inner).flush().is_err() {
            self.counts.log_lines_lost.add(1);
        }
    }
}
