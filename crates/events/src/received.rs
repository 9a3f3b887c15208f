use std::fmt;
use std::ops::Deref;

use shared_core::{AssumedTenant, Context, Failure, Id, InTenant, TenantId};
use shared_db::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Event;

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
    context: Context,
}

impl<E> Received<E> {
    /// Who published it, for which tenant, in which conversation and trace.
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

/// An event as it lies in the log.
#[derive(Row)]
pub(crate) struct Stored {
    pub(crate) pos: i64,
    pub(crate) id: Uuid,
    pub(crate) tenant_id: TenantId,
    pub(crate) name: String,
    pub(crate) version: i32,
    pub(crate) key: String,
    payload: String,
    context: String,
    at: OffsetDateTime,
    /// Seconds since `at`, by the server's clock.
    pub(crate) age: f64,
}

impl Stored {
    /// The event as an `E`.
    ///
    /// # Errors
    /// A failure that no further attempt can mend: another version, or not the fields of an `E`.
    pub(crate) fn read<E: Event>(&self) -> Result<Received<E>, Failure> {
        if self.version != i32::from(E::VERSION) {
            return Err(Failure::dead(format!(
                "version {} is not known here, {} is",
                self.version,
                E::VERSION
            )));
        }
        let context = self
            .context()
            .ok_or_else(|| Failure::dead("its context can't be read, or names another tenant"))?;
        // The parser's own words may quote the payload.
        let event = serde_json::from_str(&self.payload).map_err(|error| {
            let place = error.column();
            Failure::dead(format!("its payload does not fit the event's fields, at column {place}"))
        })?;
        Ok(Received { event, id: Id::from_uuid(self.id), at: self.at, context })
    }

    /// The proof for the tenant's door. The row's tenant counts: row-level security has checked it.
    pub(crate) fn proof(&self) -> AssumedTenant {
        let context = self
            .context()
            .unwrap_or_else(|| Context::new(self.tenant_id, shared_core::Actor::new("unknown")));
        AssumedTenant::continuing(context, "an event of the tenant's log")
    }

    fn context(&self) -> Option<Context> {
        serde_json::from_str(&self.context)
            .ok()
            .filter(|context: &Context| context.tenant() == self.tenant_id)
    }
}
