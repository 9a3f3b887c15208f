use std::time::Duration;

use shared_core::{Context, Id, InTenant, TraceParent, trace};
use shared_db::{AtCommit, Bound, Db, TenantTx, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::delayed::{self, Due, Schedule};
use crate::metrics::METRICS;
use crate::{Delayed, Error, Event, context, payload, spans};

/// The largest event, as JSON: 256 KiB. An event says what happened; what is larger belongs in a store, with its id in the event.
/// (Brokers refuse messages of 1 MiB by default.)
pub const MAX_EVENT: usize = 256 * 1024;

/// All events of one transaction, as JSON: 16 MiB, which is a page of memory for the server and a moment for the network.
pub const MAX_TRANSACTION: usize = 16 * 1024 * 1024;

/// The longest key, in characters.
pub const MAX_KEY: usize = 255;

/// What each event costs beside its payload, in the sum for [`MAX_TRANSACTION`].
const ENVELOPE: usize = 512;

/// The name of the signal by which a commit wakes the relays of its process.
pub(crate) const SIGNAL: &str = "shared_events";

statements! {
    // The same for one event, which is the most usual: without the lists it takes the server an eighth less.
    const APPEND_ONE: Statement<(Uuid, String, i32, String, String, String), ()> = "
        insert into shared_events.log (lane, tenant_id, id, name, version, key, payload, context)
        values (shared_events.lane_of($tenant, $4::text), $tenant, $1, $2::text, $3::int4, $4::text, $5::text::json, $6::text::json)";
    const APPEND: Statement<(Vec<Uuid>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<String>), ()> = "
        insert into shared_events.log (lane, tenant_id, id, name, version, key, payload, context)
        select shared_events.lane_of($tenant, e.key), $tenant, e.id, e.name, e.version, e.key, e.payload::json, e.context::json
          from unnest($1::uuid[], $2::text[], $3::int4[], $4::text[], $5::text[], $6::text[])
               with ordinality as e (id, name, version, key, payload, context, place)
         order by e.place";
}

/// Publishing inside a transaction.
pub trait Publish: sealed::Sealed {
    /// Publishes the event if, and only if, the transaction commits. It is sent with the COMMIT, together with all others of
    /// the transaction, and takes no round trip of its own; what a savepoint rolls back is not published.
    ///
    /// It carries the transaction's context: tenant, actor, correlation, the event that caused it, and a span of kind producer, a child of the
    /// one that is current now.
    ///
    /// # Errors
    /// [`Error::Refused`] if the event breaks its rules, can't be written as JSON, or is larger than [`MAX_EVENT`], or all of the
    /// transaction's are larger than [`MAX_TRANSACTION`], or its key is empty or longer than [`MAX_KEY`]. The transaction can
    /// go on. If this future is dropped before it was polled, nothing is published.
    fn publish<E: Event>(&mut self, event: E) -> impl Future<Output = Result<(), Error>> + Send;

    /// The same at a time to come, by the database's clock; what lies in the past is published at once. It is kept beside the log until
    /// then, where [`unpublish`](Self::unpublish) takes it back; from then on it is an event like any other. Delayed events with the
    /// same key come in the order of their times.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and for a time before 1970, or further away than [`MAX_DELAY`](crate::MAX_DELAY) by this program's
    /// clock.
    fn publish_at<E: Event>(
        &mut self,
        event: E,
        due: OffsetDateTime,
    ) -> impl Future<Output = Result<Id<E>, Error>> + Send;

    /// The same so long after the commit, at most [`MAX_DELAY`](crate::MAX_DELAY).
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and for a longer wait.
    fn publish_in<E: Event>(
        &mut self,
        event: E,
        wait: Duration,
    ) -> impl Future<Output = Result<Id<E>, Error>> + Send;

    /// Takes a delayed event back, if the transaction commits. Returns whether it did: `false` if it is published already, was taken
    /// back before, or is another tenant's. Where it is being published at this moment, it waits for that.
    ///
    /// # Errors
    /// [`Error::Database`]. If the future is dropped, the transaction can't commit any more.
    fn unpublish<E: Event>(&mut self, event: Id<E>) -> impl Future<Output = Result<bool, Error>> + Send;

    /// The tenant's delayed events, those that are due first at the front: at most `limit`, behind `after`, the last one of the page
    /// before. Those of this transaction are not among them.
    ///
    /// # Errors
    /// [`Error::Database`].
    fn delayed(
        &mut self,
        after: Option<&Delayed>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Delayed>, Error>> + Send;
}

impl Publish for TenantTx {
    async fn publish<E: Event>(&mut self, event: E) -> Result<(), Error> {
        let event = Unsent::of(&event, self.context())?;
        self.at_commit::<Outbox>().push(event)
    }

    async fn publish_at<E: Event>(&mut self, event: E, due: OffsetDateTime) -> Result<Id<E>, Error> {
        let event = Unsent::of(&event, self.context())?;
        let id = self.at_commit::<Schedule>().push(event, Due::At(due))?;
        Ok(Id::from_uuid(id))
    }

    async fn publish_in<E: Event>(&mut self, event: E, wait: Duration) -> Result<Id<E>, Error> {
        let event = Unsent::of(&event, self.context())?;
        let id = self.at_commit::<Schedule>().push(event, Due::In(wait))?;
        Ok(Id::from_uuid(id))
    }

    async fn unpublish<E: Event>(&mut self, event: Id<E>) -> Result<bool, Error> {
        delayed::unpublish(self, event.as_uuid()).await
    }

    async fn delayed(&mut self, after: Option<&Delayed>, limit: u32) -> Result<Vec<Delayed>, Error> {
        delayed::delayed_of(self, after, limit).await
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for shared_db::TenantTx {}
}

/// Whether the database takes it as a key.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.chars().count()) && !key.contains('\0')
}

/// What is left of [`MAX_TRANSACTION`].
#[derive(Default)]
pub(crate) struct Room {
    used: usize,
}

impl Room {
    /// What is left beside these.
    pub(crate) fn of<'a>(events: impl Iterator<Item = &'a Unsent>) -> Self {
        Self { used: events.map(Unsent::size).sum() }
    }

    /// Takes the event in, if there is room for it.
    pub(crate) fn take(&mut self, event: &Unsent) -> Result<(), Error> {
        let used = self.used + event.size();
        if used > MAX_TRANSACTION {
            return Err(Error::refused(
                event.name,
                format!(
                    "its transaction's events exceed {MAX_TRANSACTION} bytes; publish in smaller transactions"
                ),
            ));
        }
        self.used = used;
        Ok(())
    }
}

/// An event that goes out with the COMMIT.
pub(crate) struct Unsent {
    pub(crate) id: Uuid,
    pub(crate) name: &'static str,
    pub(crate) version: u16,
    pub(crate) key: String,
    pub(crate) payload: String,
    traceparent: Option<TraceParent>,
}

impl Unsent {
    /// The event, if it can be stored.
    fn of<E: Event>(event: &E, context: &Context) -> Result<Self, Error> {
        let refused = |reason: String| Err(Error::refused(E::NAME, reason));
        let payload = payload::write(event)?;
        let key = event.key();
        let bytes = payload.len();
        if !is_key(&key) {
            let characters = key.chars().count();
            return refused(format!(
                "its key has {characters} characters; 1 to {MAX_KEY} fit, none of them NUL"
            ));
        }
        if bytes > MAX_EVENT {
            return refused(format!(
                "it has {bytes} bytes, at most {MAX_EVENT} fit; store the rest, and publish its id"
            ));
        }
        let id = Uuid::now_v7();
        let traceparent = spans::publish(E::NAME, id, bytes, context).in_scope(trace::current);
        Ok(Self { id, name: E::NAME, version: E::VERSION, key, payload, traceparent })
    }

    fn size(&self) -> usize {
        self.payload.len() + ENVELOPE
    }

    /// The transaction's context, at the span that published.
    pub(crate) fn context(&self, of: &Context) -> String {
        context::write(of, self.traceparent.or(of.traceparent()))
    }
}

/// The events of one transaction.
#[derive(Default)]
struct Outbox {
    events: Vec<Unsent>,
    room: Room,
}

impl Outbox {
    fn push(&mut self, event: Unsent) -> Result<(), Error> {
        self.room.take(&event)?;
        self.events.push(event);
        Ok(())
    }
}

impl AtCommit for Outbox {
    fn mark(&self) -> usize {
        self.events.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.events.truncate(mark);
        self.room = Room::of(self.events.iter());
    }

    fn statements(&self, context: &Context) -> Vec<Bound> {
        if let [event] = self.events.as_slice() {
            return vec![APPEND_ONE.bind((
                event.id,
                event.name.to_owned(),
                i32::from(event.version),
                event.key.clone(),
                event.payload.clone(),
                event.context(context),
            ))];
        }
        let events = || self.events.iter();
        vec![APPEND.bind((
            events().map(|event| event.id).collect(),
            events().map(|event| event.name.to_owned()).collect(),
            events().map(|event| i32::from(event.version)).collect(),
            events().map(|event| event.key.clone()).collect(),
            events().map(|event| event.payload.clone()).collect(),
            events().map(|event| event.context(context)).collect(),
        ))]
    }

    fn committed(&self, db: &Db) {
        METRICS.published.add(self.events.len() as u64, &[]);
        wake(db);
    }
}

/// Wakes all relays of this process that wait, and one that is about to.
pub(crate) fn wake(db: &Db) {
    let signal = db.signal(SIGNAL);
    signal.notify_waiters();
    signal.notify_one();
}
