//! Telemetry that a test can look into.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;
use shared_telemetry::{Config, Recorder, ServiceInfo, Telemetry};
use tracing::Dispatch;

/// While there is one subscriber, tracing asks only the thread that meets a callsite first whether anybody wants it, and that may
/// be another test's. With a second one it asks them all.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Keeps what is written.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) struct Watched {
    pub(crate) telemetry: Telemetry,
    pub(crate) lines: Lines,
    pub(crate) recorder: Recorder,
}

impl Watched {
    pub(crate) fn new(config: &Config) -> Self {
        LazyLock::force(&SECOND);
        let (lines, recorder) = (Lines::default(), Recorder::new(1000));
        let telemetry = Telemetry::builder(ServiceInfo::new("notes", "1.2.3"))
            .log_writer(lines.clone())
            .recorder(&recorder)
            .build(config)
            .unwrap();
        Self { telemetry, lines, recorder }
    }

    /// Everything on this thread is watched while the guard lives.
    pub(crate) fn enter(&self) -> tracing::dispatcher::DefaultGuard {
        tracing::dispatcher::set_default(&self.telemetry.dispatch())
    }
}
