//! From a transaction to queues that are not in its database: by an outbox there, whatever it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use shared_core::Failure;
use shared_db::{Db, TenantTx};

use crate::backend::Entry;
use crate::meters::METERS;
use crate::{Enqueued, Error, JobId, Queues};

/// How long it is remembered of a job that it came out of an outbox: an hour, which outlasts the restart of whatever carries it. Each
/// takes about a hundred bytes of the backend meanwhile.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// A job on its way through an outbox: data that a table, a log or a stream can keep. It is made by
/// [`tx.enqueue`](crate::Enqueue::enqueue) and comes to its end in [`Queues::enqueue_from_outbox`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutboxJob {
    entry: Entry,
}

impl OutboxJob {
    /// The job that it is, and will be.
    pub fn job_id(&self) -> JobId {
        self.entry.job
    }

    /// Whether it was to wait: then [`enqueue_from_outbox`](Queues::enqueue_from_outbox) has to know its age.
    pub fn is_delayed(&self) -> bool {
        !self.entry.delay.is_zero()
    }

    /// Jobs of a tenant with the same key must arrive in the order of their transactions: they wait in one line, or one replaces
    /// the other. At most 202 bytes, and never empty.
    pub fn key(&self) -> String {
        let Entry { job, order, unique, .. } = &self.entry;
        match (order, unique) {
            (Some(order), _) => format!("o:{order}"),
            (None, Some(unique)) => format!("u:{}", unique.key),
            (None, None) => job.to_string(),
        }
    }
}

/// No payload: it may hold what logs must not.
impl fmt::Debug for OutboxJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { job, queue, name, .. } = &self.entry;
        f.debug_struct("OutboxJob")
            .field("job", job)
            .field("queue", queue)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

type Send = dyn for<'a> Fn(&'a mut TenantTx, OutboxJob) -> BoxFuture<'a, Result<(), Failure>>
    + std::marker::Send
    + Sync;

/// Stands beside a database for which the program has queues: where the jobs of its transactions go.
#[derive(Default)]
pub(crate) enum Way {
    /// Into its own tables.
    #[default]
    Here,
    /// Elsewhere, by an outbox.
    Away(Away),
}

impl Way {
    /// Without one no worker of this program would find the job.
    pub(crate) fn of(tx: &TenantTx, job: &'static str) -> Result<Arc<Self>, Error> {
        tx.extension().ok_or(Error::NoQueues { job })
    }
}

/// The outbox, as the program has made it.
pub(crate) struct Away {
    send: Box<Send>,
}

impl Away {
    pub(crate) async fn send(
        &self,
        tx: &mut TenantTx,
        name: &'static str,
        entry: Entry,
    ) -> Result<Enqueued, Error> {
        let job = entry.job;
        let sent = (self.send)(tx, OutboxJob { entry }).await;
        sent.map_err(|failure| Error::Outbox { job: name, reason: failure.to_string() })?;
        Ok(Enqueued::Inserted(job))
    }
}

impl Queues {
    /// The same with this database for their handlers, whose transactions do not write their jobs into its own tables from now on:
    /// [`tx.enqueue`](crate::Enqueue) hands each job to `send`, which writes it into an outbox within the transaction. Whoever reads
    /// the outbox brings the job to [`enqueue_from_outbox`](Self::enqueue_from_outbox), again and again until that returns.
    ///
    /// So a job comes into the queues if, and only if, its transaction commits. It is for queues that are not in this database.
    pub fn with_outbox<F>(self, db: &Db, send: F) -> Self
    where
        F: for<'a> Fn(&'a mut TenantTx, OutboxJob) -> BoxFuture<'a, Result<(), Failure>>
            + std::marker::Send
            + Sync
            + 'static,
    {
        db.extend(Way::Away(Away { send: Box::new(send) }));
        self.with_db(db)
    }

    /// Takes a job out of an outbox, `age` after its transaction: a delay counts from there. It may be brought several times, since
    /// it keeps its id: it is not enqueued again while it is there, nor within an hour, also if it has ended.
    ///
    /// # Errors
    /// [`Error::Database`], after which the job may be there: bring it again.
    pub async fn enqueue_from_outbox(&self, job: OutboxJob, age: Duration) -> Result<Enqueued, Error> {
        let mut entry = job.entry;
        entry.delay = entry.delay.saturating_sub(age);
        let name = entry.name.to_string();
        let answer = self.backend.enqueue_once(entry, REMEMBERED).await?;
        if answer.is_inserted() {
            METERS.enqueued(name);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, Mail, tenant};
    use crate::{NewJob, State, Unique};
    use shared_core::InTenant;

    /// As it comes out of the outbox.
    fn stored(job: NewJob<Mail>) -> OutboxJob {
        let entry = job.entry(tenant().context()).unwrap();
        let text = serde_json::to_string(&OutboxJob { entry: entry.clone() }).unwrap();
        let job: OutboxJob = serde_json::from_str(&text).unwrap();
        assert_eq!(job.entry, entry);
        job
    }

    fn mail() -> NewJob<Mail> {
        NewJob::of(Mail { n: 7 })
    }

    #[test]
    fn what_must_not_overtake_each_other_has_one_key() {
        let plain = stored(mail());
        assert_eq!(plain.key(), plain.job_id().to_string());
        assert_eq!(stored(mail().order_by("a")).key(), "o:a");
        assert_eq!(stored(mail().unique(Unique::debounce("a"))).key(), "u:a");
        let latest = stored(mail().unique(Unique::keep_latest("a")));
        assert_eq!(latest.key(), "o:unique:mail:send:a");
    }

    #[test]
    fn it_shows_no_payload() {
        let shown = format!("{:?}", stored(mail()));
        assert!(shown.contains("mail:send") && !shown.contains("payload"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_counts_from_the_transaction_and_a_job_comes_once() {
        let fixture = Fixture::new().await;
        let (minute, job) = (Duration::from_secs(60), stored(mail().after(Duration::from_secs(90))));
        let bring =
            async |job: &OutboxJob, age| fixture.queues.enqueue_from_outbox(job.clone(), age).await.unwrap();
        assert_eq!(bring(&job, minute).await, Enqueued::Inserted(job.job_id()));
        let view = fixture.queues.job(job.job_id()).await.unwrap().unwrap();
        assert_eq!((view.state, view.due_at), (State::Scheduled, view.enqueued_at + minute / 2));
        fixture.queues.cancel(job.job_id()).await.unwrap();
        assert_eq!(bring(&job, minute).await, Enqueued::Existing(job.job_id()));
        let late = stored(mail().after(minute));
        bring(&late, minute * 2).await;
        assert_eq!(fixture.queues.job(late.job_id()).await.unwrap().unwrap().state, State::Ready);
    }
}
