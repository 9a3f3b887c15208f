use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use shared_core::Failure;
use tower::{BoxError, Layer, Service};

use crate::call::{JobCall, JobService};
use crate::handler::{FromJob, Handler, IntoOutcome};
use crate::job::{Job, Options, assert_job_name};
use crate::{Error, JobContext, Outcome, payload};

/// The jobs that a worker can do, each with its handler. `S` is the state that handlers may ask for.
pub struct Jobs<S> {
    handlers: HashMap<&'static str, Entry<S>>,
    queues: BTreeSet<&'static str>,
    stack: Option<JobService>,
    twice: Option<&'static str>,
}

/// A handler with its types forgotten.
pub(crate) struct Entry<S> {
    pub(crate) name: &'static str,
    pub(crate) options: Options,
    start: Start<S>,
}

/// The attempt at a payload of this version, or why it can't be read.
type Start<S> = Arc<dyn Fn(u32, &str, &JobContext, &S) -> Result<Attempt, String> + Send + Sync>;
pub(crate) type Attempt = BoxFuture<'static, Result<Outcome, Failure>>;

impl<S> Entry<S> {
    pub(crate) fn start(
        &self,
        version: u32,
        payload: &str,
        cx: &JobContext,
        state: &S,
    ) -> Result<Attempt, String> {
        (self.start)(version, payload, cx, state)
    }
}

impl<S: 'static> Jobs<S> {
    /// No jobs.
    pub fn new() -> Self {
        Self { handlers: HashMap::new(), queues: BTreeSet::new(), stack: None, twice: None }
    }

    /// The same with a handler for the job `J`, which it takes as its first argument. See [`Handler`].
    pub fn handle<J, Args, H>(mut self, handler: H) -> Self
    where
        H: Handler<J, Args>,
        J: Job,
        Args: FromJob<S> + 'static,
        H::Future: Send + 'static,
        <H::Future as Future>::Output: IntoOutcome,
    {
        const { assert_job_name(J::NAME) };
        let start: Start<S> = Arc::new(move |version, text, cx, state| {
            let job = payload::read::<J>(version, text)?;
            let (handler, arguments) = (handler.clone(), Args::from_job(cx, state));
            Ok(Box::pin(async move { handler.call(job, arguments).await.into_outcome() }))
        });
        if self.handlers.insert(J::NAME, Entry { name: J::NAME, options: J::OPTIONS, start }).is_some() {
            self.twice = Some(J::NAME);
        }
        self.queues.insert(J::OPTIONS.queue);
        self
    }

    /// The same, and takes jobs from this queue too: for those that were enqueued into another queue than their type names.
    pub fn from_queue(mut self, queue: &'static str) -> Self {
        self.queues.insert(queue);
        self
    }

    /// The same with a tower layer around every handler, the one added last outermost. It runs once for each attempt, after the
    /// payload was read, within the attempt's time and its span; what it returns instead of the handler's outcome counts as
    /// that, and its own errors are failed attempts. A layer that waits (for a permit, say) holds one of the worker's places
    /// meanwhile; [limits](crate::Limit) don't.
    ///
    /// ```
    /// use shared_queues::{JobCall, JobService, Jobs};
    /// use tower::util::MapRequestLayer;
    ///
    /// let jobs: Jobs<()> = Jobs::new().layer(MapRequestLayer::new(|call: JobCall| {
    ///     tracing::debug!(job = call.name(), attempt = call.context().attempt(), "begins");
    ///     call
    /// }));
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<JobService>,
        L::Service: Service<JobCall, Response = Outcome> + Clone + Send + Sync + 'static,
        <L::Service as Service<JobCall>>::Error: Into<BoxError>,
        <L::Service as Service<JobCall>>::Future: Send + 'static,
    {
        let inner = self.stack.take().unwrap_or_else(JobService::handler);
        self.stack = Some(JobService::over(layer.layer(inner)));
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
    pub(crate) fn get(&self, name: &str, version: u32) -> Option<&Entry<S>> {
        self.handlers.get(name).filter(|entry| version <= entry.options.version)
    }

    /// The queues in which these jobs wait.
    pub(crate) fn queues(&self) -> Vec<Arc<str>> {
        self.queues.iter().map(|queue| Arc::from(*queue)).collect()
    }

    /// Through the layers, if there are any.
    pub(crate) async fn run(&self, call: JobCall) -> Result<Outcome, Failure> {
        match &self.stack {
            Some(stack) => stack.run(call).await,
            None => call.attempt.await,
        }
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
