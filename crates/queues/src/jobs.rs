use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use shared_core::Failure;

use crate::handler::{FromJob, Handler, IntoOutcome};
use crate::job::{Job, Options, assert_job_name};
use crate::{Error, JobContext, payload};

/// The jobs that a worker can do, each with its handler. `S` is the state that handlers may ask for.
pub struct Jobs<S> {
    handlers: HashMap<&'static str, Entry<S>>,
    twice: Option<&'static str>,
}

/// A handler with its types forgotten.
pub(crate) struct Entry<S> {
    pub(crate) name: &'static str,
    pub(crate) options: Options,
    start: Start<S>,
}

/// The attempt, or why the payload can't be read.
type Start<S> = Arc<dyn Fn(&str, JobContext, &S) -> Result<Attempt, String> + Send + Sync>;
pub(crate) type Attempt = BoxFuture<'static, Result<(), Failure>>;

impl<S> Entry<S> {
    pub(crate) fn start(&self, payload: &str, cx: JobContext, state: &S) -> Result<Attempt, String> {
        (self.start)(payload, cx, state)
    }
}

impl<S: 'static> Jobs<S> {
    /// No jobs.
    pub fn new() -> Self {
        Self { handlers: HashMap::new(), twice: None }
    }

    /// The same with a handler for the job `J`, which it takes as its first argument. See [`Handler`].
    pub fn handle<J, Args, H>(mut self, handler: H) -> Self
    where
        H: Handler<J, Args>,
        J: Job,
        Args: FromJob<S>,
        H::Future: Send + 'static,
        <H::Future as Future>::Output: IntoOutcome,
    {
        const { assert_job_name(J::NAME) };
        let start: Start<S> = Arc::new(move |text, cx, state| {
            let job = payload::read::<J>(text)?;
            let attempt = handler.call(job, Args::from_job(&cx, state));
            Ok(Box::pin(async move { attempt.await.into_outcome() }))
        });
        if self.handlers.insert(J::NAME, Entry { name: J::NAME, options: J::OPTIONS, start }).is_some() {
            self.twice = Some(J::NAME);
        }
        self
    }

    /// Each job once, or the name of one that has two handlers.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        match self.twice {
            Some(job) => Err(Error::TwoHandlers { job }),
            None => Ok(self),
        }
    }

    /// The handler for this name and version of a payload, if this program has it.
    pub(crate) fn get(&self, name: &str, version: i32) -> Option<&Entry<S>> {
        self.handlers.get(name).filter(|entry| i64::from(version) <= i64::from(entry.options.version))
    }

    /// The queues in which these jobs wait.
    pub(crate) fn queues(&self) -> Vec<&'static str> {
        let mut queues: Vec<_> = self.handlers.values().map(|entry| entry.options.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }
}

impl<S: 'static> Default for Jobs<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Jobs<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}
