//! What a child says: heard on a thread as it comes, and kept within a bound.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, PipeReader, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{GLANCE, Program};

/// What is kept of it: ample for a test's log, and nothing that 32 children would fill a machine with.
const MOST_BYTES: usize = 1 << 20;

/// A longer line is cut in two.
const LONGEST_LINE: u64 = 64 << 10;

/// What an error quotes.
const END_LINES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Output {
    heard: Arc<Mutex<Heard>>,
    /// The number of the next line to look at.
    cursor: usize,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    lines: VecDeque<String>,
    bytes: usize,
    /// Lines that gave way to later ones.
    forgotten: usize,
}

impl Output {
    /// Hears another life of the child. What the last one said stays, and is not looked at again.
    pub(super) fn listen(&mut self, pipe: PipeReader) {
        let next = self.heard().count();
        self.cursor = next;
        let heard = Arc::clone(&self.heard);
        self.readers.push(thread::spawn(move || read(pipe, &heard)));
    }

    /// The next line with this text in it.
    pub(super) fn find(&mut self, text: &str) -> Option<String> {
        let heard = self.heard();
        let skipped = self.cursor.saturating_sub(heard.forgotten);
        let (at, line) =
            heard.lines.iter().enumerate().skip(skipped).find(|(_, line)| line.contains(text))?;
        let (next, line) = (heard.forgotten + at + 1, line.clone());
        drop(heard);
        self.cursor = next;
        Some(line)
    }

    /// Whether nothing more will come.
    pub(super) fn is_complete(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the last words of a child that is gone; for a second, since what it has started may still hold the pipe.
    pub(super) fn finish(&self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while !self.is_complete() && Instant::now() < deadline {
            thread::sleep(GLANCE);
        }
    }

    pub(super) fn text(&self) -> String {
        self.heard().lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// The last lines.
    pub(super) fn end(&self) -> String {
        let heard = self.heard();
        let skipped = heard.lines.len().saturating_sub(END_LINES);
        let lines: Vec<_> = heard.lines.iter().skip(skipped).map(String::as_str).collect();
        if lines.is_empty() { "nothing".to_owned() } else { lines.join(" | ") }
    }

    /// Shows everything, where the test harness shows what a failed test has printed.
    #[expect(clippy::print_stderr, reason = "it is for the person who reads a failed test")]
    pub(super) fn show(&self, program: &Program) {
        eprintln!("what {program} said:\n{}", self.text());
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > MOST_BYTES
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len();
            self.forgotten += 1;
        }
    }

    fn count(&self) -> usize {
        self.forgotten + self.lines.len()
    }
}

/// Reads to the end. What is no UTF-8 is shown with replacement characters.
fn read(pipe: PipeReader, heard: &Mutex<Heard>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = pipe.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        line.clear();
    }
}
