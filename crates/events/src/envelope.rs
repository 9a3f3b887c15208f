use std::fmt;

use shared_core::{Actor, AssumedTenant, Context, Failure, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Event, Lane, Place, Received, payload};

/// An event on its way between the log and somewhere else: what was published, and all that is known about it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// The event's identity, the same at every delivery.
    pub id: Uuid,
    /// What happened, such as `note.created`.
    pub name: String,
    /// The version of its fields.
    pub version: u32,
    /// What it is about: events of a tenant with the same key are in order.
    pub key: String,
    /// Whose event it is.
    pub tenant: TenantId,
    /// When its transaction wrote it, by the database's clock. It orders nothing.
    pub at: OffsetDateTime,
    /// Who published it, in which conversation and trace.
    pub context: Context,
    /// What was published, as JSON.
    pub payload: String,
    /// The lane of its key.
    pub lane: Lane,
    /// Where it is in its lane.
    pub place: Place,
    /// Whether it is delivered once more, by a replay.
    pub replay: bool,
    /// The transaction that published it, by which the log is searched; `None` for one that came from elsewhere.
    pub(crate) xid: Option<i64>,
}

impl Envelope {
    /// The event as an `E`.
    ///
    /// # Errors
    /// A failure that no further attempt can mend: a newer version, not the fields of an `E`, or rules that it breaks.
    pub(crate) fn read<E: Event>(&self) -> Result<Received<E>, Failure> {
        if self.context.tenant() != self.tenant {
            return Err(Failure::dead("its context can't be read"));
        }
        let event = payload::read(self.version, &self.payload)?;
        let mut received = Received::new(event, self.id, self.at, self.context.clone());
        received.replay = self.replay;
        Ok(received)
    }

    /// The proof for the tenant's door; what happens under it has this event as its cause. The row's tenant counts: row-level security
    /// has checked it.
    pub(crate) fn proof(&self) -> AssumedTenant {
        let context = match self.context.tenant() == self.tenant {
            true => self.context.clone(),
            false => Context::new(self.tenant, Actor::new("unknown")),
        };
        AssumedTenant::continuing(context.with_causation(Some(self.id)), "an event of the tenant's log")
    }
}

/// Without the payload, which has no place in a log line.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
