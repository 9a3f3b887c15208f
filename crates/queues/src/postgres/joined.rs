//! Jobs that are enqueued one by one at the same time share a statement: each commit waits for the disk, and one wait serves all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use shared_db::Db;
use tokio::sync::Semaphore;

use super::enqueue::plain;
use crate::backend::Entry;
use crate::{Enqueued, Error};

/// Statements that are under way at once. Whoever comes then joins the next one.
const AT_ONCE: usize = 2;

/// What one statement takes: beyond it jobs get hardly cheaper, and everybody waits for the last of them.
const MOST_JOBS: usize = 250;
const MOST_BYTES: usize = 1024 * 1024;

/// The answers; nothing if the statement failed.
type Answers = Option<Arc<Vec<Enqueued>>>;

/// Whoever waits for a batch moves it on, so it does not depend on whoever came first.
type Written = BoxFuture<'static, Answers>;

pub(super) struct Joined {
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

impl Default for Joined {
    fn default() -> Self {
        Self { open: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Joined {
    /// At once if there is a place, else with others. If a batch fails, each of its jobs is tried by itself, and has an answer of its own.
    pub(super) async fn enqueue(&self, db: &Db, job: &Entry) -> Result<Enqueued, Error> {
        if let Ok(_place) = self.places.try_acquire() {
            return alone(db, job).await;
        }
        let (written, at) = self.join(db, job);
        match written.await.as_ref().and_then(|answers| answers.get(at)) {
            Some(answer) => Ok(*answer),
            // Should the failed one have been committed after all, it is there under its own id.
            None => alone(db, job).await.map(|answer| Enqueued::Inserted(answer.job_id())),
        }
    }

    /// The batch that the job is in, and its place there.
    fn join(&self, db: &Db, job: &Entry) -> (Shared<Written>, usize) {
        let mut open = lock(&self.open);
        if let Some((written, jobs)) =
            open.as_ref().and_then(|open| Some((open.written.upgrade()?, &open.jobs)))
            && let Ok(at) = lock(jobs).add(job)
        {
            return (written, at);
        }
        let jobs = Arc::new(Mutex::new(Batch::default()));
        let at = lock(&jobs).add(job).unwrap_or_default();
        let written = write(db.clone(), jobs.clone(), self.places.clone()).boxed().shared();
        *open = written.downgrade().map(|written| Open { jobs, written });
        (written, at)
    }
}

impl Batch {
    /// Its place, if there is room.
    fn add(&mut self, job: &Entry) -> Result<usize, ()> {
        let bytes = job.payload.len() + job.context.len();
        let is_full =
            self.jobs.len() == MOST_JOBS || self.bytes + bytes > MOST_BYTES && !self.jobs.is_empty();
        if self.is_closed || is_full {
            return Err(());
        }
        self.bytes += bytes;
        self.jobs.push(job.clone());
        Ok(self.jobs.len() - 1)
    }
}

async fn write(db: Db, jobs: Arc<Mutex<Batch>>, places: Arc<Semaphore>) -> Answers {
    let _place = places.acquire().await.ok()?;
    let jobs = {
        let mut batch = lock(&jobs);
        batch.is_closed = true;
        std::mem::take(&mut batch.jobs)
    };
    plain(&db, &jobs).await.ok().map(Arc::new)
}

async fn alone(db: &Db, job: &Entry) -> Result<Enqueued, Error> {
    let answers = plain(db, std::slice::from_ref(job)).await?;
    answers
        .first()
        .copied()
        .ok_or(Error::Refused { attempted: "enqueueing", problem: "the database did not answer for the job" })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
