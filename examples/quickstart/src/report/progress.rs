//! Progress: bars on a terminal; elsewhere a line every few seconds.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::words;

/// How often bars are drawn.
const FRAME: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(3);

const WIDTH: usize = 28;

/// One thing that comes about.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) label: &'static str,
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// What to know beside the numbers.
    pub(crate) remark: String,
}

/// Standard error, shared by bars and log lines: a log line goes above the bars. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    drawn: Arc<Mutex<usize>>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), drawn: Arc::default() }
    }

    /// Writes a line, above the bars if there are some.
    pub(crate) fn say(&self, line: &str) {
        self.write_above(&format!("{line}\n"));
    }

    /// Shows bars for as long as the work takes.
    pub(crate) async fn watch<T>(&self, work: impl Future<Output = T>, bars: impl Fn() -> Vec<Bar>) -> T {
        let every = if self.is_terminal { FRAME } else { LINE };
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut work = std::pin::pin!(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = ticks.tick() => self.show(&bars()),
            }
        };
        self.show(&bars());
        *self.drawn() = 0;
        done
    }

    fn show(&self, bars: &[Bar]) {
        if !self.is_terminal {
            return self.say(&bars.iter().map(Bar::short).collect::<Vec<_>>().join("; "));
        }
        let mut drawn = self.drawn();
        let lines: String = bars.iter().map(|bar| format!("{}\x1b[K\n", bar.render())).collect();
        // Without wrapping: a line of a narrow terminal must stay one line, or the next frame begins at the wrong one.
        put(&format!("{}\x1b[?7l{lines}\x1b[?7h", up(*drawn)));
        *drawn = bars.len();
    }

    /// The bars are drawn again by the next frame.
    fn write_above(&self, text: &str) {
        let mut drawn = self.drawn();
        put(&format!("{}{text}", up(*drawn)));
        *drawn = 0;
    }

    fn drawn(&self) -> MutexGuard<'_, usize> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To the beginning of what was drawn, and clear.
fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

/// A terminal that is gone is no reason to fail.
fn put(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Log lines.
impl Write for Screen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_above(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bar {
    fn render(&self) -> String {
        let full = WIDTH as u64 * 8;
        let eighths = (self.done * full).checked_div(self.total).unwrap_or(full).min(full) as usize;
        let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        let bar = format!("{}{partial}", "█".repeat(eighths / 8));
        let numbers = format!("{} / {}", words::count(self.done), words::count(self.total));
        format!("{:<7} ▕{bar:<WIDTH$}▏ {numbers:>15}  {}", self.label, self.remark)
    }

    fn short(&self) -> String {
        let remark = if self.remark.is_empty() { String::new() } else { format!(" ({})", self.remark) };
        format!("{} {} of {}{remark}", self.label, words::count(self.done), words::count(self.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(done: u64, total: u64) -> Bar {
        Bar { label: "index", done, total, remark: "80 chunks".to_owned() }
    }

    #[test]
    fn a_bar_fills_in_eighths_and_keeps_its_width() {
        let widths: Vec<usize> = (0..=9).map(|done| bar(done, 7).render().chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]));
        assert_eq!(bar(0, 0).render(), "index   ▕████████████████████████████▏           0 / 0  80 chunks");
        assert_eq!(bar(1, 16).render(), "index   ▕█▊                          ▏          1 / 16  80 chunks");
    }

    #[test]
    fn without_a_terminal_it_is_words() {
        assert_eq!(bar(1234, 2000).short(), "index 1,234 of 2,000 (80 chunks)");
    }
}
