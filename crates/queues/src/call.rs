//! What stands between a worker and its handlers: a stack of tower's layers.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use shared_core::Failure;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

use crate::jobs::Attempt;
use crate::{JobContext, Outcome};

/// An attempt on its way through the [layers](crate::Jobs::layer) to its handler: the request of their services. The job is read
/// already; its payload is the handler's alone.
pub struct JobCall {
    pub(crate) context: JobContext,
    pub(crate) name: &'static str,
    pub(crate) queue: Arc<str>,
    pub(crate) attempt: Attempt,
}

impl JobCall {
    /// The job's name, `domain:action`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The queue from which it was taken.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// What the handler will know: the job's id, its tenant, which attempt it is.
    pub fn context(&self) -> &JobContext {
        &self.context
    }
}

impl fmt::Debug for JobCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobCall")
            .field("name", &self.name)
            .field("queue", &self.queue)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// The service that a [layer](crate::Jobs::layer) wraps: it ends in the handler of the job.
#[derive(Clone)]
pub struct JobService(BoxCloneSyncService<JobCall, Outcome, BoxError>);

impl JobService {
    /// Calls the handler.
    pub(crate) fn handler() -> Self {
        Self::over(tower::service_fn(async |call: JobCall| call.attempt.await.map_err(Failed)))
    }

    pub(crate) fn over<T>(service: T) -> Self
    where
        T: Service<JobCall, Response = Outcome> + Clone + Send + Sync + 'static,
        T::Error: Into<BoxError>,
        T::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service.map_err(Into::into)))
    }

    pub(crate) async fn run(&self, call: JobCall) -> Result<Outcome, Failure> {
        self.0.clone().oneshot(call).await.map_err(|error| match error.downcast::<Failed>() {
            Ok(failed) => failed.0,
            Err(other) => Layered(other).into(),
        })
    }
}

impl Service<JobCall> for JobService {
    type Response = Outcome;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Outcome, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, call: JobCall) -> Self::Future {
        self.0.call(call)
    }
}

impl fmt::Debug for JobService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobService")
    }
}

/// A handler's failure as layers see it: [`Failure`] is no error itself.
struct Failed(Failure);

impl Error for Failed {}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A layer's own error.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Layered(BoxError);
