//! An entry of the log: on its way in, and as it lies there.

use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared_core::TenantId;
use shared_db::{Row, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::AuditEvent;

/// Whose entries those are that belong to no tenant.
pub(crate) const NO_TENANT: TenantId = TenantId::from_uuid(Uuid::nil());

/// The columns of [`Entry`].
macro_rules! columns {
    () => {
        "log.pos, log.xid::text as xid, log.id, log.tenant_id, log.at, log.waited_ms, log.action, log.outcome, log.actor,
         log.on_behalf_of, log.target_kind, log.target_id, log.reason, log.address, log.user_agent, log.correlation,
         log.traceparent, log.details::text as details"
    };
}
pub(crate) use columns;

/// The members of a list of [`NewEntry`], as the server reads them; `place` keeps their order.
macro_rules! given {
    () => {
        "rows from (json_to_recordset($1::text::json) as (
             id uuid, tenant_id uuid, waited_ms bigint, action text, outcome text, actor text, on_behalf_of text,
             target_kind text, target_id text, reason text, address text, user_agent text, correlation text,
             traceparent text, details json)) with ordinality
         as given (id, tenant_id, waited_ms, action, outcome, actor, on_behalf_of, target_kind, target_id, reason, address,
                   user_agent, correlation, traceparent, details, place)"
    };
}

// A list of entries is one JSON text: it has more columns than arrays would be readable for.
statements! {
    /// The writer's. What it has no answer to it may send again. Flushed, whatever the role is set to: what was
    /// acknowledged is there after a crash.
    pub(crate) const APPEND: Statement<(String,), ()> = concat!("
        with flushed as materialized (select set_config('synchronous_commit', 'on', true))
        insert into shared_security.audit_log (id, tenant_id, waited_ms, action, outcome, actor, on_behalf_of, target_kind,
               target_id, reason, address, user_agent, correlation, traceparent, details)
        select given.id, given.tenant_id, given.waited_ms, given.action, given.outcome, given.actor, given.on_behalf_of,
               given.target_kind, given.target_id, given.reason, given.address, given.user_agent, given.correlation,
               given.traceparent, given.details
          from flushed, ", given!(), "
         order by given.place
            on conflict (tenant_id, id) do nothing");
    /// A tenant's transaction's, sent with its COMMIT.
    pub(crate) const APPEND_OWN: Statement<(String,), ()> = concat!("
        insert into shared_security.audit_log (id, tenant_id, waited_ms, action, outcome, actor, on_behalf_of, target_kind,
               target_id, reason, address, user_agent, correlation, traceparent, details)
        select given.id, $tenant, given.waited_ms, given.action, given.outcome, given.actor, given.on_behalf_of,
               given.target_kind, given.target_id, given.reason, given.address, given.user_agent, given.correlation,
               given.traceparent, given.details
          from ", given!(), "
         order by given.place");
}

/// An entry on its way into the log.
#[derive(Debug, Serialize)]
pub(crate) struct NewEntry {
    id: Uuid,
    pub(crate) tenant_id: TenantId,
    pub(crate) action: String,
    pub(crate) outcome: &'static str,
    actor: Option<String>,
    on_behalf_of: Option<String>,
    target_kind: Option<String>,
    target_id: Option<String>,
    reason: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    correlation: Option<String>,
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: Map<String, Value>,
    /// It waits from here on for the server, whose clock is read when it is written.
    #[serde(rename = "waited_ms", serialize_with = "milliseconds")]
    since: Instant,
}

impl NewEntry {
    pub(crate) fn new(event: AuditEvent) -> Self {
        let (target_kind, target_id) = event.target.unzip();
        Self {
            id: Uuid::now_v7(),
            tenant_id: event.tenant.unwrap_or(NO_TENANT),
            action: event.action,
            outcome: event.outcome.as_str(),
            actor: event.actor,
            on_behalf_of: event.on_behalf_of,
            target_kind,
            target_id,
            reason: event.reason,
            address: event.address.map(|address| address.to_canonical().to_string()),
            user_agent: event.user_agent,
            correlation: event.correlation.map(String::from),
            traceparent: event.traceparent.map(|trace| trace.to_string()),
            details: event.details,
            since: Instant::now(),
        }
    }
}

fn milliseconds<S: Serializer>(since: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Entries as one parameter.
pub(crate) fn to_json<'a>(entries: impl Iterator<Item = &'a NewEntry>) -> String {
    // Texts, numbers and ids: writing them can't fail. If it did, the server would refuse the empty text.
    serde_json::to_string(&entries.collect::<Vec<_>>()).unwrap_or_default()
}

/// An entry as it lies in the log.
#[derive(Debug, Row)]
pub(crate) struct Entry {
    pub(crate) pos: i64,
    pub(crate) xid: String,
    pub(crate) id: Uuid,
    pub(crate) tenant_id: TenantId,
    pub(crate) at: OffsetDateTime,
    pub(crate) waited_ms: i64,
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) actor: Option<String>,
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) target_kind: Option<String>,
    pub(crate) target_id: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) correlation: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) details: Option<String>,
}

/// An entry as a line of an export.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    pos: i64,
    id: Uuid,
    tenant: Option<TenantId>,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    waited_ms: i64,
    action: &'a str,
    outcome: &'a str,
    actor: &'a Option<String>,
    on_behalf_of: &'a Option<String>,
    target_kind: &'a Option<String>,
    target_id: &'a Option<String>,
    reason: &'a Option<String>,
    address: &'a Option<String>,
    user_agent: &'a Option<String>,
    correlation: &'a Option<String>,
    traceparent: &'a Option<String>,
    details: Option<&'a RawValue>,
    hash: String,
}

impl<'a> Line<'a> {
    pub(crate) fn of(entry: &'a Entry) -> Self {
        Self {
            pos: entry.pos,
            id: entry.id,
            tenant: Some(entry.tenant_id).filter(|tenant| *tenant != NO_TENANT),
            at: entry.at,
            waited_ms: entry.waited_ms,
            action: &entry.action,
            outcome: &entry.outcome,
            actor: &entry.actor,
            on_behalf_of: &entry.on_behalf_of,
            target_kind: &entry.target_kind,
            target_id: &entry.target_id,
            reason: &entry.reason,
            address: &entry.address,
            user_agent: &entry.user_agent,
            correlation: &entry.correlation,
            traceparent: &entry.traceparent,
            // The server has taken it as JSON.
            details: entry.details.as_deref().and_then(|details| serde_json::from_str(details).ok()),
            hash: super::chain::leaf(entry).to_string(),
        }
    }
}
