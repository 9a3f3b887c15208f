//! What is checked.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

type Works = Box<dyn Fn() -> bool + Send + Sync>;
type Ask = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Checks of what the process depends on, in the order in which they are reported.
///
/// ```
/// # async fn ping() -> Result<(), String> { Ok(()) }
/// use shared_telemetry::Checks;
///
/// let checks = Checks::new().required("database", ping).degraded("search", async || Err("no index yet".to_owned()));
/// ```
///
/// A check answers with the reason for its failure, which goes into the body of the health probe and the log: no
/// address with a password, no tenant's data.
#[derive(Default)]
pub struct Checks {
    pub(super) list: Vec<Check>,
    pub(super) parts: Vec<Part>,
}

/// A part of the process.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) works: Works,
}

pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) ask: Ask,
}

impl Checks {
    /// No checks: such a process is ready as soon as it runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without it the process can't work: while it fails, the process is not ready.
    #[must_use]
    pub fn required<F, Fut>(self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, true, check)
    }

    /// Without it the process does less: a failure is reported, and the process stays ready.
    #[must_use]
    pub fn degraded<F, Fut>(self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, false, check)
    }

    /// A part of the process that runs for as long as the process does: when it ends by itself, there is a bug, and only a restart
    /// brings it back. So [`Health::live`](super::Health::live) asks it, at each probe: it must answer from memory.
    #[must_use]
    pub fn alive(mut self, name: &'static str, works: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.parts.push(Part { name, works: Box::new(works) });
        self
    }

    fn with<F, Fut>(mut self, name: &'static str, required: bool, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.list.push(Check { name, required, ask: Box::new(move || check().boxed()) });
        self
    }
}
