use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::entry::NewEntry;
use super::metrics::METRICS;
use crate::AuditEvent;
use crate::Error;

/// Where events that belong to no transaction are recorded. Cheap to clone; made by [`Writer`](super::Writer).
///
/// The type says what happens when the writer can't keep up. This one never waits and never fails: it suits what must not take
/// the service down, and an event that finds no room is counted (`audit.lost`) and logged. For what must not happen unrecorded
/// there is [`durable`](Self::durable).
#[derive(Clone)]
pub struct Audit {
    queue: mpsc::Sender<Pending>,
    durable_within: Duration,
    counts: Arc<Counts>,
}

/// What became of the events of one writer's handles.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) written: AtomicU64,
    pub(crate) lost: AtomicU64,
}

impl Audit {
    pub(crate) fn new(queue: mpsc::Sender<Pending>, durable_within: Duration) -> Self {
        Self { queue, durable_within, counts: Arc::default() }
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn pending(&self, event: AuditEvent, acknowledge: Option<oneshot::Sender<()>>) -> Pending {
        METRICS.buffered.add(1, &[]);
        Pending { entry: NewEntry::new(event), acknowledge, counts: self.counts(), is_written: false }
    }

    /// Hands the event to the writer. It takes a place in the buffer and no more; what finds none is lost, counted and logged.
    pub fn record(&self, event: AuditEvent) {
        // What comes back with the error is dropped, and counted by that.
        drop(self.queue.try_send(self.pending(event, None)));
    }

    /// The same log for events without which nothing may go on: recording waits until the entry is there.
    pub fn durable(&self) -> Durable {
        Durable(self.clone())
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("room", &self.queue.capacity()).finish_non_exhaustive()
    }
}

/// [`Audit`] that fails closed: callers wait for room, and for the commit.
#[derive(Clone, Debug)]
pub struct Durable(Audit);

impl Durable {
    /// Returns when the event is committed and flushed: from then on a crash does not lose it.
    ///
    /// If the future is dropped while it waits for room, the event is lost and counted; later it is written all the same.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] if it did not get there in time, or the writer has stopped. It may be written yet; but the caller
    /// does not know, and should refuse what it was about to do.
    pub async fn record(&self, event: AuditEvent) -> Result<(), Error> {
        let (acknowledge, written) = oneshot::channel();
        let pending = self.0.pending(event, Some(acknowledge));
        let recorded = async {
            self.0.queue.send(pending).await.map_err(|_| Error::NotRecorded("the writer has stopped"))?;
            written.await.map_err(|_| Error::NotRecorded("the writer had to give it up"))
        };
        match tokio::time::timeout(self.0.durable_within, recorded).await {
            Ok(recorded) => recorded,
            Err(_) => Err(Error::NotRecorded("the database did not answer in time")),
        }
    }
}

/// An event on its way to the writer. Dropped before it was written, it counts as lost, wherever that happens.
pub(crate) struct Pending {
    pub(crate) entry: NewEntry,
    acknowledge: Option<oneshot::Sender<()>>,
    counts: Arc<Counts>,
    is_written: bool,
}

impl Pending {
    pub(crate) fn written(mut self) {
        self.is_written = true;
        METRICS.written.add(1, &[]);
        self.counts.written.fetch_add(1, Ordering::Relaxed);
        if let Some(acknowledge) = self.acknowledge.take() {
            // Nobody may wait any more.
            let _ = acknowledge.send(());
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        METRICS.buffered.add(-1, &[]);
        if !self.is_written {
            METRICS.lost.add(1, &[]);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            let (action, outcome, tenant) = (&self.entry.action, self.entry.outcome, self.entry.tenant_id);
            tracing::error!(target: "audit", action, outcome, %tenant, "an audit event was lost");
        }
    }
}
