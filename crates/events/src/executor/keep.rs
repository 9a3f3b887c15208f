//! An event as it is kept beside its parked row, where the log of this database has it not.

use serde::{Deserialize, Serialize};
use shared_core::{Context, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Envelope, Lane, Place};

#[derive(Serialize, Deserialize)]
struct Kept {
    id: Uuid,
    name: String,
    version: u32,
    key: String,
    tenant: TenantId,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    context: Context,
    payload: String,
    lane: u8,
    tick: i64,
    pos: i64,
    replay: bool,
}

/// The event as JSON, if the log has it not.
pub(super) fn write(event: &Envelope) -> Option<String> {
    // That it is a replay is nowhere else.
    if event.xid.is_some() && !event.replay {
        return None;
    }
    let kept = Kept {
        id: event.id,
        name: event.name.clone(),
        version: event.version,
        key: event.key.clone(),
        tenant: event.tenant,
        at: event.at,
        context: event.context.clone(),
        payload: event.payload.clone(),
        lane: event.lane.number(),
        tick: event.place.tick,
        pos: event.place.pos,
        replay: event.replay,
    };
    serde_json::to_string(&kept).ok()
}

/// The event again.
pub(super) fn read(kept: &str) -> Option<Envelope> {
    let kept: Kept = serde_json::from_str(kept).ok()?;
    Some(Envelope {
        id: kept.id,
        name: kept.name,
        version: kept.version,
        key: kept.key,
        tenant: kept.tenant,
        at: kept.at,
        context: kept.context,
        payload: kept.payload,
        lane: Lane::new(kept.lane)?,
        place: Place::new(kept.tick, kept.pos),
        replay: kept.replay,
        xid: None,
    })
}
