//! Jobs that are enqueued one by one at the same time go to the server together: a round trip costs more than a job, and so does the
//! wait of a commit for the disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Semaphore;

use crate::backend::Entry;
use crate::{Enqueued, Error};

/// Writes that are under way at once. Whoever comes then joins the next one.
const AT_ONCE: usize = 2;

/// What one write takes: beyond it jobs get hardly cheaper, and everybody waits for the last of them.
pub(crate) const MOST_JOBS: usize = 250;
const MOST_BYTES: usize = 1024 * 1024;

/// What writes jobs: all of them or, on an error, none, as far as it can tell. One answer for each, in their order.
pub(crate) trait Writer: Send + Sync + 'static {
    fn write(&self, jobs: &[Entry]) -> impl Future<Output = Result<Vec<Enqueued>, shared_db::Error>> + Send;
}

/// The answers; or the jobs, and why they have none.
type Answers = Result<Arc<Vec<Enqueued>>, Arc<(Vec<Entry>, shared_db::Error)>>;

/// Whoever waits for a batch moves it on, so it does not depend on whoever came first.
type Written = BoxFuture<'static, Answers>;

pub(crate) struct Joined<W> {
    writer: Arc<W>,
    /// The batch that takes jobs in.
    open: Mutex<Option<Open>>,
    places: Arc<Semaphore>,
}

struct Open {
    jobs: Arc<Mutex<Batch>>,
    /// Gone if nobody waits for it any more: then it is not written.
    written: WeakShared<Written>,
}

#[derive(Default)]
struct Batch {
    jobs: Vec<Entry>,
    bytes: usize,
    is_closed: bool,
}

impl<W: Writer> Joined<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer: Arc::new(writer), open: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// At once if there is a place, else with others.
    ///
    /// If the server refuses a batch, each of its jobs is tried by itself and has an answer of its own. If nobody knows whether the batch
    /// is there, each caller hears just that: a job that is there may have run by now, and would run again.
    pub(crate) async fn enqueue(&self, job: Entry) -> Result<Enqueued, Error> {
        if let Ok(_place) = self.places.try_acquire() {
            return self.alone(&job).await;
        }
        let (written, at) = self.join(job);
        match written.await {
            Ok(answers) => answers.get(at).copied().ok_or_else(unanswered),
            Err(failed) => match (failed.0.get(at), &failed.1) {
                (Some(job), refusal) if is_refusal(refusal) => self.alone(job).await,
                (_, unknown) => Err(unknown.clone().into()),
            },
        }
    }

    async fn alone(&self, job: &Entry) -> Result<Enqueued, Error> {
        let answers = self.writer.write(std::slice::from_ref(job)).await?;
        answers.first().copied().ok_or_else(unanswered)
    }

    /// The batch that the job is in, and its place there.
    fn join(&self, job: Entry) -> (Shared<Written>, usize) {
        let mut open = lock(&self.open);
        if let Some((written, jobs)) =
            open.as_ref().and_then(|open| Some((open.written.upgrade()?, &open.jobs)))
        {
            let mut batch = lock(jobs);
            if batch.has_room(&job) {
                return (written, batch.add(job));
            }
        }
        let mut batch = Batch::default();
        let at = batch.add(job);
        let jobs = Arc::new(Mutex::new(batch));
        let written = write(self.writer.clone(), jobs.clone(), self.places.clone()).boxed().shared();
        *open = written.downgrade().map(|written| Open { jobs, written });
        (written, at)
    }
}

impl Batch {
    fn has_room(&self, job: &Entry) -> bool {
        !self.is_closed && self.jobs.len() < MOST_JOBS && self.bytes + size(job) <= MOST_BYTES
    }

    /// Its place.
    fn add(&mut self, job: Entry) -> usize {
        self.bytes += size(&job);
        self.jobs.push(job);
        self.jobs.len() - 1
    }
}

fn size(job: &Entry) -> usize {
    job.payload.len() + job.context.len()
}

async fn write<W: Writer>(writer: Arc<W>, jobs: Arc<Mutex<Batch>>, places: Arc<Semaphore>) -> Answers {
    // It is never closed.
    let _place = places.acquire().await.ok();
    let jobs = {
        let mut batch = lock(&jobs);
        batch.is_closed = true;
        std::mem::take(&mut batch.jobs)
    };
    match writer.write(&jobs).await {
        Ok(answers) => Ok(Arc::new(answers)),
        Err(error) => Err(Arc::new((jobs, error))),
    }
}

/// The server said no, and nothing was written. What Postgres says when it is shut down (class 57P) may come behind a commit.
fn is_refusal(error: &shared_db::Error) -> bool {
    error.code().is_some_and(|code| !code.starts_with("57P"))
}

fn unanswered() -> Error {
    Error::Refused { attempted: "enqueueing", problem: "the server did not answer for the job" }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
