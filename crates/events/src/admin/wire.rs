//! The JSON of what is answered, apart from the types of the crate: it is a contract, kept by the OpenAPI document.

use serde::Serialize;
use shared_core::TenantId;
use time::OffsetDateTime;
use time::serde::rfc3339;
use uuid::Uuid;

use crate::{Cause, Delayed, Explanation, LaneStatus, Parked, ProjectionStatus, SubscriptionStatus};

#[derive(Serialize)]
pub(super) struct SubscriptionJson {
    subscription: String,
    kind: &'static str,
    paused: bool,
    replay: bool,
    over: bool,
    waiting: u64,
    oldest_seconds: Option<f64>,
    parked: u64,
    dead_keys: u64,
    relays: u32,
    lanes_held: u32,
    #[serde(with = "rfc3339")]
    created_at: OffsetDateTime,
}

impl From<SubscriptionStatus> for SubscriptionJson {
    fn from(status: SubscriptionStatus) -> Self {
        Self {
            over: status.is_over(),
            subscription: status.name,
            kind: status.kind.as_str(),
            paused: status.paused,
            replay: status.replay,
            waiting: status.waiting,
            oldest_seconds: status.oldest.map(|age| age.as_secs_f64()),
            parked: status.parked,
            dead_keys: status.dead,
            relays: status.relays,
            lanes_held: status.held,
            created_at: status.created,
        }
    }
}

#[derive(Serialize)]
pub(super) struct LaneJson {
    lane: u8,
    place: Option<String>,
    waiting: u64,
    oldest_seconds: Option<f64>,
    unmoved_seconds: f64,
    relay: Option<HolderJson>,
}

#[derive(Serialize)]
struct HolderJson {
    id: Uuid,
    host: Option<String>,
    pid: Option<u32>,
}

impl From<LaneStatus> for LaneJson {
    fn from(lane: LaneStatus) -> Self {
        Self {
            lane: lane.lane.number(),
            place: lane.place.map(|place| place.to_string()).or(lane.mark),
            waiting: lane.waiting,
            oldest_seconds: lane.oldest.map(|age| age.as_secs_f64()),
            unmoved_seconds: lane.still.as_secs_f64(),
            relay: lane.holder.map(|held| HolderJson { id: held.relay, host: held.host, pid: held.pid }),
        }
    }
}

/// The causes in words: each kind has figures of its own, which are in them.
#[derive(Serialize)]
pub(super) struct ExplanationJson {
    subscription: SubscriptionJson,
    causes: Vec<CauseJson>,
}

#[derive(Serialize)]
struct CauseJson {
    cause: &'static str,
    detail: String,
}

impl From<Explanation> for ExplanationJson {
    fn from(explanation: Explanation) -> Self {
        let cause = |cause: &Cause| CauseJson { cause: cause.name(), detail: cause.to_string() };
        Self {
            causes: explanation.causes.iter().map(cause).collect(),
            subscription: explanation.status.into(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ParkedJson {
    tenant: TenantId,
    subscription: String,
    consumer: String,
    event: String,
    id: Uuid,
    key: String,
    state: &'static str,
    reason: Option<String>,
    attempts: u32,
    #[serde(with = "rfc3339::option")]
    next_at: Option<OffsetDateTime>,
    #[serde(with = "rfc3339")]
    parked_at: OffsetDateTime,
}

impl From<Parked> for ParkedJson {
    fn from(parked: Parked) -> Self {
        Self {
            tenant: parked.tenant,
            subscription: parked.subscription,
            consumer: parked.consumer,
            event: parked.event,
            id: parked.id,
            key: parked.key,
            state: parked.state.as_str(),
            reason: parked.reason,
            attempts: parked.attempts,
            next_at: parked.next_at,
            parked_at: parked.at,
        }
    }
}

#[derive(Serialize)]
pub(super) struct DelayedJson {
    tenant: TenantId,
    id: Uuid,
    event: String,
    version: u32,
    key: String,
    #[serde(with = "rfc3339")]
    due_at: OffsetDateTime,
    #[serde(with = "rfc3339")]
    published_at: OffsetDateTime,
}

impl From<Delayed> for DelayedJson {
    fn from(delayed: Delayed) -> Self {
        Self {
            tenant: delayed.tenant,
            id: delayed.id,
            event: delayed.name,
            version: delayed.version,
            key: delayed.key,
            due_at: delayed.due,
            published_at: delayed.at,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ProjectionJson {
    live: u32,
    fed_by: String,
    building: Option<u32>,
    #[serde(with = "rfc3339::option")]
    switched_at: Option<OffsetDateTime>,
}

impl From<ProjectionStatus> for ProjectionJson {
    fn from(status: ProjectionStatus) -> Self {
        Self {
            live: status.live,
            fed_by: status.fed_by,
            building: status.building,
            switched_at: status.switched,
        }
    }
}

/// One of these types for each of those.
pub(super) fn all<T, J: From<T>>(things: Vec<T>) -> Vec<J> {
    things.into_iter().map(J::from).collect()
}
