//! The rows of the log, as whoever reads them gets them.

use shared_core::{Actor, Context, TenantId};
use shared_db::Row;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Envelope, Lane, Place, context};

/// The columns of a row of `log`, for [`Stored`]; `stamp` comes beside them.
macro_rules! stored {
    () => {
        "log.pos, log.xid::text::bigint as xid, log.lane, log.id, log.tenant_id, log.name, log.version, log.key,
               log.payload::text as payload, log.context::text as context, log.at, clock_timestamp() as read"
    };
}
pub(crate) use stored;

/// An event as it lies in the log.
#[derive(Row)]
pub(crate) struct Stored {
    pub(crate) pos: i64,
    pub(crate) xid: i64,
    pub(crate) lane: i16,
    id: Uuid,
    tenant_id: TenantId,
    name: String,
    version: i32,
    key: String,
    payload: String,
    context: String,
    at: OffsetDateTime,
    /// When it was read, by the server's clock.
    read: OffsetDateTime,
    /// The tick that it comes in again with, if it was parked.
    pub(crate) stamp: Option<i64>,
}

impl Stored {
    /// Seconds from when it was written until it was read.
    pub(crate) fn age(&self) -> f64 {
        (self.read - self.at).as_seconds_f64().max(0.0)
    }

    /// Bytes of what was published.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// The event at the place that this tick gives it. A context that can't be read becomes one of nobody's tenant, so that a
    /// consumer refuses it.
    pub(crate) fn at(self, tick: i64) -> Envelope {
        let context = context::read(self.tenant_id, &self.context)
            .unwrap_or_else(|| Context::new(TenantId::new(), Actor::new("unknown")));
        Envelope {
            id: self.id,
            name: self.name,
            version: self.version.unsigned_abs(),
            key: self.key,
            tenant: self.tenant_id,
            at: self.at,
            context,
            payload: self.payload,
            lane: lane(self.lane),
            place: Place::new(tick, self.pos),
            replay: false,
            xid: Some(self.xid),
        }
    }
}

/// The lane of this number. The tables have none but these.
pub(crate) fn lane(number: i16) -> Lane {
    u8::try_from(number).ok().and_then(Lane::new).unwrap_or(Lane::FIRST)
}
