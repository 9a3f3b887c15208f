use std::fmt;
use std::ops::Deref;

use shared_core::{Context, Id, InTenant};
use time::OffsetDateTime;
use uuid::Uuid;

/// An event as a consumer receives it: the event itself, by [`Deref`] or as `event`, and what is known about it. It proves the
/// tenant of the transaction that published it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Received<E> {
    /// What was published.
    pub event: E,
    /// The event's identity, the same at every delivery.
    pub id: Id<E>,
    /// When its transaction wrote it, by the database's clock. It orders nothing.
    pub at: OffsetDateTime,
    /// Whether it is delivered once more, by a replay.
    pub replay: bool,
    /// The event that led to this one, if a consumer published it.
    pub causation: Option<Uuid>,
    context: Context,
}

impl<E> Received<E> {
    /// The event that was published under this context. What is done for it has it as its cause.
    pub(crate) fn new(event: E, id: Uuid, at: OffsetDateTime, published: Context) -> Self {
        let causation = published.causation();
        let context = published.with_causation(Some(id));
        Self { event, id: Id::from_uuid(id), at, replay: false, causation, context }
    }

    /// Who published it, for which tenant, in which conversation and trace; with this event as the cause of what follows.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl<E> Deref for Received<E> {
    type Target = E;
    fn deref(&self) -> &E {
        &self.event
    }
}

impl<E> InTenant for Received<E> {
    fn context(&self) -> &Context {
        &self.context
    }
}

/// Without the event: payloads have no place in a log line.
impl<E> fmt::Debug for Received<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("id", &self.id).field("at", &self.at).finish_non_exhaustive()
    }
}
