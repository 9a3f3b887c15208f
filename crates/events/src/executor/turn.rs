//! A turn: some events of one tenant and lane for one consumer, in one transaction.

use std::time::Duration;

use shared_core::{AssumedTenant, Context, Failure, InTenant, fault};
use shared_db::{AtCommit, Bound, Db, TenantTx, statements};
use uuid::Uuid;

use super::slots::Slot;
use super::{Executor, Named, Origin, Turned, Under, parked, run};
use crate::relay::tick;
use crate::{Envelope, Error, Lane, Place, timeline};

statements! {
    // The position, which is locked; those of these keys of which something is parked; whether this tick of the log is there, and the server
    // goes on with this timeline.
    const BEGIN: Statement<(String, String, i16, Vec<String>, Option<i64>, Option<i32>), (i64, i64, Vec<String>, bool, bool)> = "
        select tick, pos, parked, is_kept, is_same from shared_events.begin_turn($tenant, $1, $2, $3, $4, $5, $6)";
    const MOVE: Statement<(String, String, i16, i64, i64), ()> = "
        update shared_events.position set tick = $4, pos = $5
         where tenant_id = $tenant and subscription = $1 and consumer = $2 and lane = $3";
}

/// A transaction of a turn, at its beginning.
pub(super) struct Begun {
    pub(super) tx: TenantTx,
    /// How far the consumer has come. It can't move until the transaction ends.
    pub(super) passed: Place,
    /// The keys of the turn of which something is parked.
    pub(super) parked: Vec<String>,
}

/// What became of the transaction of some events.
enum Attempt {
    /// So many of them are done, maybe not all.
    Done(Turned, usize),
    /// Nothing was committed, since this failed.
    Failed(Failure),
}

impl Executor {
    /// A consumer's part of a turn. For each transaction it waits until it is the tenant's turn; it stops behind the event that it is at.
    pub(super) async fn turn_of(
        &self,
        to: &Named,
        lane: Lane,
        events: &[Envelope],
        under: Under<'_>,
    ) -> Result<Turned, Error> {
        let ends = under.ends;
        let mine: Vec<&Envelope> = events.iter().filter(|event| to.function(&event.name).is_some()).collect();
        let (mut turned, mut rest) = (Turned::default(), mine.as_slice());
        let mut asked = mine.first().map(|event| self.slots.ask(event.tenant));
        while let Some(slot) = asked.take() {
            let granted = ends.run_until_cancelled(slot.slot()).await.flatten();
            let Some(mut slot) = granted.filter(|_| !ends.is_cancelled()) else {
                return Ok(Turned { stopped: true, ..turned });
            };
            let (now, _) = rest.split_at(rest.len().min(self.limits.batch));
            let (done, count) = self.events_of(to, lane, now, (&mut slot, under)).await?;
            turned = turned.and(done);
            if turned.stopped {
                return Ok(turned);
            }
            rest = rest.get(count..).unwrap_or_default();
            // Before the slot comes back, so that what the tenant owes is not forgotten.
            asked = rest.first().map(|event| self.slots.ask(event.tenant));
        }
        Ok(turned)
    }

    /// All together; where one fails, one by one, so that it alone is parked. Returns how many are done: where another tenant waits for the
    /// slot, those up to then.
    async fn events_of(
        &self,
        to: &Named,
        lane: Lane,
        events: &[&Envelope],
        (slot, under): (&mut Slot, Under<'_>),
    ) -> Result<(Turned, usize), Error> {
        if events.len() > 1
            && let Attempt::Done(turned, count) = self.attempt(to, lane, events, (&mut *slot, under)).await?
        {
            return Ok((turned, count));
        }
        let mut turned = Turned::default();
        for (done, event) in events.iter().enumerate() {
            if under.ends.is_cancelled() {
                return Ok((Turned { stopped: true, ..turned }, done));
            }
            if done > 0 && slot.is_wanted() {
                return Ok((turned, done));
            }
            turned = turned.and(match self.attempt(to, lane, &[event], (&mut *slot, under)).await? {
                Attempt::Done(turned, _) => turned,
                Attempt::Failed(failure) => self.put_aside(to, lane, (event, &failure), under).await?,
            });
        }
        Ok((turned, events.len()))
    }

    /// One transaction for these events, or for the first of them.
    async fn attempt(
        &self,
        to: &Named,
        lane: Lane,
        events: &[&Envelope],
        (slot, under): (&mut Slot, Under<'_>),
    ) -> Result<Attempt, Error> {
        let Some(first) = events.first() else { return Ok(Attempt::Done(Turned::default(), 0)) };
        let Begun { mut tx, mut passed, parked } =
            self.begin(&first.proof(), to, lane, (events, under.timeline)).await?;
        let (mut known, mut effects, mut count, mut behind) = (0, 0, 0, Vec::new());
        for event in events {
            if effects > 0 && (under.ends.is_cancelled() || slot.is_wanted()) {
                break;
            }
            count += 1;
            // A broker may have some of them once more, behind later ones.
            if event.place <= passed {
                known += 1;
                continue;
            }
            passed = event.place;
            if parked.contains(&event.key) {
                behind.push(*event);
                continue;
            }
            if let Err(failed) = self.run(&mut tx, to, event).await {
                if failed.is_answered {
                    tx.rollback().await;
                }
                return Ok(Attempt::Failed(failed.failure));
            }
            effects += 1;
        }
        let turned = Turned { effects, known, parked: behind.len() as u64, stopped: false };
        if effects + turned.parked == 0 {
            tx.rollback().await;
            return Ok(Attempt::Done(to.counted(turned), count));
        }
        self.park_behind(&mut tx, to, &behind).await?;
        self.move_to(&mut tx, to, lane, passed);
        fault::point("events.relay.consumed");
        if let Err(error) = tx.commit().await {
            return Ok(Attempt::Failed(at_commit(error)?));
        }
        fault::point("events.relay.committed");
        Ok(Attempt::Done(to.counted(turned), count))
    }

    /// Runs the function in the context of its event.
    async fn run(&self, tx: &mut TenantTx, to: &Named, event: &Envelope) -> Result<(), run::Failed> {
        let Some(function) = to.function(&event.name) else { return Ok(()) };
        if let Err(error) = tx.continue_in(event.proof().context()).await {
            return Err(run::Failed { failure: error.into(), is_answered: true });
        }
        run::call(function, tx, event, 1, self.limits.timeout).await
    }

    /// Parks an event that failed, and moves the position past it, unless another owner has got further.
    async fn put_aside(
        &self,
        to: &Named,
        lane: Lane,
        (event, failure): (&Envelope, &Failure),
        under: Under<'_>,
    ) -> Result<Turned, Error> {
        let Begun { mut tx, passed, parked } =
            self.begin(&event.proof(), to, lane, (&[event], under.timeline)).await?;
        if event.place <= passed {
            tx.rollback().await;
            return Ok(to.counted(Turned { known: 1, ..Turned::default() }));
        }
        match parked.is_empty() {
            true => self.park(&mut tx, to, event, failure).await?,
            false => self.park_behind(&mut tx, to, &[event]).await?,
        }
        self.move_to(&mut tx, to, lane, event.place);
        tx.commit().await?;
        fault::point("events.relay.parked");
        Ok(to.counted(Turned { parked: 1, ..Turned::default() }))
    }

    /// Opens a transaction with the consumer's position locked, in one round trip.
    ///
    /// # Errors
    /// [`Error::Unsafe`] where the database has forgotten the tick that the events came with: then they come with another, at another place;
    /// and where it goes on with another timeline than the one on which they were read. [`Error::Database`].
    pub(super) async fn begin(
        &self,
        proof: &AssumedTenant,
        to: &Named,
        lane: Lane,
        (events, timeline): (&[&Envelope], Option<i32>),
    ) -> Result<Begun, Error> {
        let tick = events.last().filter(|_| self.origin == Origin::Log).map(|event| event.place.tick);
        let params = (&self.subscription, to.name, lane.column(), parked::keys(events), tick, timeline);
        let (tx, (tick, pos, parked, is_kept, is_same)) =
            self.db.tenant(proof).begin_with(&BEGIN, params).await?;
        if !is_kept || !is_same {
            tx.rollback().await;
            return Err(if is_same { tick::gone_back() } else { timeline::taken_over() });
        }
        Ok(Begun { tx, passed: Place::new(tick, pos), parked })
    }

    /// Locks the consumer's position until the transaction ends, and says whether something is parked of the event's key.
    pub(super) async fn lock(
        &self,
        tx: &mut TenantTx,
        to: &Named,
        lane: Lane,
        event: &Envelope,
    ) -> Result<bool, Error> {
        let params =
            (&self.subscription, to.name, lane.column(), parked::keys(&[event]), None::<i64>, None::<i32>);
        let (_, _, parked, ..) = tx.one(&BEGIN, params).await?;
        Ok(!parked.is_empty())
    }

    /// With the commit, and so without a trip of its own.
    fn move_to(&self, tx: &mut TenantTx, to: &Named, lane: Lane, place: Place) {
        let (subscription, consumer) = (self.subscription.clone(), to.name.to_owned());
        *tx.at_commit::<Moved>() =
            Moved(Some((subscription, consumer, lane.column(), place.tick, place.pos)));
    }
}

/// The consumer's position, to be written with the commit.
#[derive(Default)]
struct Moved(Option<(String, String, i16, i64, i64)>);

impl AtCommit for Moved {
    fn mark(&self) -> usize {
        usize::from(self.0.is_some())
    }
    fn rewind(&mut self, mark: usize) {
        if mark == 0 {
            self.0 = None;
        }
    }
    fn statements(&self, _: &Context) -> Vec<Bound> {
        self.0.iter().map(|position| MOVE.bind(position.clone())).collect()
    }
    fn committed(&self, _: &Db) {}
}

/// What failed at the commit, if it is the event's fault, such as a constraint that is checked then.
///
/// # Errors
/// Where it is the database's.
pub(super) fn at_commit(error: shared_db::Error) -> Result<Failure, Error> {
    use shared_db::Error::{Statement, TransactionFailed};
    match error {
        Statement { .. } | TransactionFailed { .. } if !error.is_retryable() => {
            Ok(Failure::from(error).attempting("committing the effect"))
        }
        error => Err(error.into()),
    }
}

/// Says that an event is put aside, and for how long.
pub(super) fn said(
    to: &str,
    event: &str,
    id: Uuid,
    failure: &Failure,
    attempts: u32,
    wait: Option<Duration>,
) {
    match wait {
        Some(wait) => {
            tracing::warn!(consumer = to, event, event.id = %id, attempts, ?wait, "to be repeated: {failure}")
        }
        None => tracing::error!(consumer = to, event, event.id = %id, attempts, "parked: {failure}"),
    }
}
