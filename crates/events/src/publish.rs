use shared_core::{Context, TraceParent};
use shared_db::{AtCommit, Bound, Db, TenantTx, statements};
use uuid::Uuid;

use crate::metrics::METRICS;
use crate::{Error, Event};

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
    const APPEND: Statement<(Vec<Uuid>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<String>), ()> = "
        insert into shared_events.log (tenant_id, id, name, version, key, payload, context)
        select $tenant, e.id, e.name, e.version, e.key, e.payload::json, e.context::json
          from unnest($1::uuid[], $2::text[], $3::int4[], $4::text[], $5::text[], $6::text[])
               with ordinality as e (id, name, version, key, payload, context, place)
         order by e.place";
}

/// Publishing inside a transaction.
pub trait Publish: sealed::Sealed {
    /// Publishes the event if, and only if, the transaction commits. It is sent with the COMMIT, together with all others of
    /// the transaction, and takes no round trip of its own; what a savepoint rolls back is not published.
    ///
    /// It carries the transaction's context: tenant, actor, correlation, and the span that is current now.
    ///
    /// # Errors
    /// [`Error::Refused`] if the event can't be written as JSON, or is larger than [`MAX_EVENT`], or all of the
    /// transaction's are larger than [`MAX_TRANSACTION`], or its key is empty or longer than [`MAX_KEY`]. The transaction can
    /// go on. If this future is dropped before it was polled, nothing is published.
    fn publish<E: Event>(&mut self, event: E) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Publish for TenantTx {
    async fn publish<E: Event>(&mut self, event: E) -> Result<(), Error> {
        self.at_commit::<Outbox>().push(&event)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for shared_db::TenantTx {}
}

/// The events of one transaction.
#[derive(Default)]
struct Outbox {
    events: Vec<Unsent>,
    /// The sum for [`MAX_TRANSACTION`].
    size: usize,
}

struct Unsent {
    id: Uuid,
    name: &'static str,
    version: u16,
    key: String,
    payload: String,
    traceparent: Option<TraceParent>,
}

impl Outbox {
    fn push<E: Event>(&mut self, event: &E) -> Result<(), Error> {
        let refused = |reason: String| Err(Error::refused(E::NAME, reason));
        let payload = serde_json::to_string(event).map_err(|error| Error::Refused {
            event: E::NAME,
            reason: "it can't be written as JSON".to_owned(),
            source: Some(error.into()),
        })?;
        let key = event.key();
        let (characters, bytes) = (key.chars().count(), payload.len());
        let size = self.size + bytes + ENVELOPE;
        if !(1..=MAX_KEY).contains(&characters) || key.contains('\0') {
            return refused(format!(
                "its key has {characters} characters; 1 to {MAX_KEY} fit, none of them NUL"
            ));
        }
        if bytes > MAX_EVENT {
            return refused(format!(
                "it has {bytes} bytes, at most {MAX_EVENT} fit; store the rest, and publish its id"
            ));
        }
        if size > MAX_TRANSACTION {
            return refused(format!(
                "its transaction's events exceed {MAX_TRANSACTION} bytes; publish in smaller transactions"
            ));
        }
        let traceparent = shared_core::trace::current();
        self.events.push(Unsent {
            id: Uuid::now_v7(),
            name: E::NAME,
            version: E::VERSION,
            key,
            payload,
            traceparent,
        });
        self.size = size;
        Ok(())
    }
}

impl AtCommit for Outbox {
    fn mark(&self) -> usize {
        self.events.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.events.truncate(mark);
        self.size = self.events.iter().map(|event| event.payload.len() + ENVELOPE).sum();
    }

    fn statements(&self, context: &Context) -> Vec<Bound> {
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
        // All relays that wait, and one that is about to.
        let signal = db.signal(SIGNAL);
        signal.notify_waiters();
        signal.notify_one();
    }
}

impl Unsent {
    /// The transaction's context, at the span that published.
    fn context(&self, of: &Context) -> String {
        let traceparent = self.traceparent.or(of.traceparent());
        // Texts and ids: writing them can't fail. If it did, the empty text would fail the transaction, as it should.
        serde_json::to_string(&of.clone().with_traceparent(traceparent)).unwrap_or_default()
    }
}
