//! What every request has: a deadline, a measure, and an end when the pool closes.

use std::time::{Duration, Instant};

use redis::{FromRedisValue, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::error::{failed, lost, unreadable};
use super::link::Link;
use super::request::Request;
use crate::error::Error;
use crate::metrics::METRICS;

/// Those that are inside, and the word that ends them.
#[derive(Clone, Default)]
pub(super) struct Calls {
    inside: TaskTracker,
    cut: CancellationToken,
}

impl Calls {
    /// Lets one in, who is inside until the token is dropped.
    pub(super) fn admit(&self) -> Result<TaskTrackerToken, Error> {
        let token = self.inside.token();
        match self.inside.is_closed() {
            true => Err(Error::Closed),
            false => Ok(token),
        }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.inside.close();
    }

    /// Ends every request that is under way. Returns how many were inside.
    pub(super) fn cut(&self) -> usize {
        self.cut.cancel();
        self.inside.len()
    }

    /// Whether everybody has left in time.
    pub(super) async fn quiet_within(&self, patience: Duration) -> bool {
        timeout(patience, self.inside.wait()).await.is_ok()
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn send(
        &self,
        link: &mut Link,
        request: Request<'_>,
        deadline: Duration,
    ) -> Result<Value, Error> {
        let (name, start) = (request.name(), Instant::now());
        let sent = async {
            match request {
                Request::Command(command) | Request::Script(_, command) => link.command(command).await,
                Request::Pipeline(pipeline) => link.pipeline(pipeline).await,
            }
        };
        let done = tokio::select! {
            answered = timeout(deadline, sent) => match answered {
                Ok(answer) => answer.map_err(|error| failed(&name, &error, request.is_whole())),
                Err(_) => Err(Error::CommandTimeout { command: name.clone(), waited: deadline }),
            },
            () = self.cut.cancelled() => {
                Err(Error::Unanswered { command: name.clone(), cause: lost("the pool was closed".to_owned()) })
            }
        };
        let (operation, script) = request.operation();
        METRICS.command(&operation, script, start.elapsed(), done.as_ref().err().map(kind));
        done
    }
}

/// What an error is called in metrics.
fn kind(error: &Error) -> &str {
    match error {
        Error::CommandTimeout { .. } => "timeout",
        error => error.code().unwrap_or("_OTHER"),
    }
}

/// The answer as the caller's type.
pub(super) fn read<T: FromRedisValue>(answer: Value, request: &Request<'_>) -> Result<T, Error> {
    T::from_redis_value(answer).map_err(|_| unreadable::<T>(&request.name()))
}
