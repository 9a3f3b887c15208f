//! Events that are published later: kept in a table until they are due.

use std::time::Duration;

use shared_core::{Context, TenantId};
use shared_db::{AtCommit, Bound, Db, Row, TenantTx, Tx, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Error;
use crate::metrics::METRICS;
use crate::publish::{Room, Unsent, wake};

/// The longest wait: a hundred years. What is further away is a mistake in a unit.
pub const MAX_DELAY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const TOO_FAR: &str = "it would wait for over a hundred years; is it in the right unit?";

/// Delayed events that a tick moves into the log: what is left comes with the next, some milliseconds later.
const RELEASED_AT_ONCE: i32 = 1000;

statements! {
    const SCHEDULE: Statement<(Vec<Uuid>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<String>,
                               Vec<Option<OffsetDateTime>>, Vec<Option<f64>>), ()> = "
        insert into shared_events.delayed (tenant_id, id, name, version, key, payload, context, due)
        select $tenant, e.id, e.name, e.version, e.key, e.payload::json, e.context::json,
               coalesce(e.due, clock_timestamp() + make_interval(secs => e.wait))
          from unnest($1::uuid[], $2::text[], $3::int4[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::float8[])
               with ordinality as e (id, name, version, key, payload, context, due, wait, place)
         order by e.place";
    const UNPUBLISH: Statement<(Uuid,), ()> = "
        delete from shared_events.delayed where tenant_id = $tenant and id = $1";
    const OWN: Statement<(OffsetDateTime, Uuid, i64), DelayedRow> = "
        select tenant_id, id, name, version, key, due, at from shared_events.delayed
         where tenant_id = $tenant and (due, id) > ($1, $2) order by due, id limit $3";

    const CANCEL: Statement<(TenantId, Uuid), ()> = "
        delete from shared_events.delayed where tenant_id = $1 and id = $2";
    const ALL: Statement<(OffsetDateTime, Uuid, i64), DelayedRow> = "
        select tenant_id, id, name, version, key, due, at from shared_events.delayed
         where (due, id) > ($1, $2) order by due, id limit $3";
    const RELEASE: Statement<(i32,), i32> = "select shared_events.release_delayed($1)";
}

/// Moves what is due into the log, in the transaction that makes a tick. It comes with this tick or the next. Returns how many it
/// were: none also where all that is due is about to be cancelled.
pub(crate) async fn release(tx: &mut Tx) -> Result<u32, Error> {
    Ok(tx.one(&RELEASE, (RELEASED_AT_ONCE,)).await?.unsigned_abs())
}

/// When an event is to be published.
pub(crate) enum Due {
    At(OffsetDateTime),
    In(Duration),
}

/// What a transaction schedules, and what of that it takes back: both can be undone by a savepoint.
#[derive(Default)]
pub(crate) struct Schedule {
    entries: Vec<Entry>,
    room: Room,
}

enum Entry {
    Publish(Unsent, Due),
    TakeBack(Uuid),
}

impl Schedule {
    /// Takes the event in, and returns its id.
    pub(crate) fn push(&mut self, event: Unsent, due: Due) -> Result<Uuid, Error> {
        let refused = |reason: &str| Err(Error::refused(event.name, reason));
        match due {
            Due::At(due) if due < OffsetDateTime::UNIX_EPOCH => {
                return refused("its time lies before 1970; is it in the right unit?");
            }
            Due::At(due) if due - OffsetDateTime::now_utc() > MAX_DELAY => return refused(TOO_FAR),
            Due::In(wait) if wait > MAX_DELAY => return refused(TOO_FAR),
            _ => {}
        }
        self.room.take(&event)?;
        let id = event.id;
        self.entries.push(Entry::Publish(event, due));
        Ok(id)
    }

    /// Forgets an event of this transaction. Returns whether there is one.
    pub(crate) fn take_back(&mut self, id: Uuid) -> bool {
        let found = self.kept().any(|(event, _)| event.id == id);
        if found {
            self.entries.push(Entry::TakeBack(id));
        }
        found
    }

    fn kept(&self) -> impl Iterator<Item = (&Unsent, &Due)> {
        let is_kept =
            |id: Uuid| !self.entries.iter().any(|e| matches!(e, Entry::TakeBack(other) if *other == id));
        self.entries.iter().filter_map(move |entry| match entry {
            Entry::Publish(event, due) if is_kept(event.id) => Some((event, due)),
            _ => None,
        })
    }
}

impl AtCommit for Schedule {
    fn mark(&self) -> usize {
        self.entries.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.entries.truncate(mark);
        self.room = Room::of(self.entries.iter().filter_map(|entry| match entry {
            Entry::Publish(event, _) => Some(event),
            Entry::TakeBack(_) => None,
        }));
    }

    fn statements(&self, context: &Context) -> Vec<Bound> {
        let kept: Vec<(&Unsent, &Due)> = self.kept().collect();
        if kept.is_empty() {
            return Vec::new();
        }
        let events = || kept.iter().map(|(event, _)| event);
        vec![
            SCHEDULE.bind((
                events().map(|event| event.id).collect(),
                events().map(|event| event.name.to_owned()).collect(),
                events().map(|event| i32::from(event.version)).collect(),
                events().map(|event| event.key.clone()).collect(),
                events().map(|event| event.payload.clone()).collect(),
                events().map(|event| event.context(context)).collect(),
                kept.iter().map(|(_, due)| if let Due::At(due) = due { Some(*due) } else { None }).collect(),
                kept.iter()
                    .map(|(_, due)| if let Due::In(wait) = due { Some(wait.as_secs_f64()) } else { None })
                    .collect(),
            )),
        ]
    }

    fn committed(&self, db: &Db) {
        METRICS.delayed.add(self.kept().count() as u64, &[]);
        // A relay that waits learns when to come again.
        wake(db);
    }
}

/// Deletes the event, unless it is published already.
pub(crate) async fn unpublish(tx: &mut TenantTx, id: Uuid) -> Result<bool, Error> {
    Ok(tx.at_commit::<Schedule>().take_back(id) || tx.execute(&UNPUBLISH, (id,)).await? == 1)
}

/// An event that waits for its time. Its payload is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delayed {
    /// Whose event it is.
    pub tenant: TenantId,
    /// The event's identity, which it keeps when it is published.
    pub id: Uuid,
    /// What is going to have happened, such as `note.expired`.
    pub name: String,
    /// The version of its fields.
    pub version: u32,
    /// What it is about.
    pub key: String,
    /// When it is published, by the database's clock.
    pub due: OffsetDateTime,
    /// When it was written, by the database's clock.
    pub at: OffsetDateTime,
}

/// The delayed events of all tenants, those that are due first at the front: at most `limit`, behind `after`, the last one of the page
/// before.
///
/// # Errors
/// [`Error::Database`].
pub async fn delayed(db: &Db, after: Option<&Delayed>, limit: u32) -> Result<Vec<Delayed>, Error> {
    delayed_behind(db, place(after), limit).await
}

/// The same, behind a time and an id.
pub(crate) async fn delayed_behind(
    db: &Db,
    (due, id): (OffsetDateTime, Uuid),
    limit: u32,
) -> Result<Vec<Delayed>, Error> {
    let rows: Vec<DelayedRow> = db.system().all(&ALL, (due, id, i64::from(limit))).await?;
    Ok(rows.into_iter().map(Delayed::from).collect())
}

/// The same within the transaction's tenant.
pub(crate) async fn delayed_of(
    tx: &mut TenantTx,
    after: Option<&Delayed>,
    limit: u32,
) -> Result<Vec<Delayed>, Error> {
    let (due, id) = place(after);
    let rows: Vec<DelayedRow> = tx.all(&OWN, (due, id, i64::from(limit))).await?;
    Ok(rows.into_iter().map(Delayed::from).collect())
}

/// Cancels a tenant's delayed event, for operators; in a tenant's transaction there is [`unpublish`](crate::Publish::unpublish). Returns
/// whether it was there: else it is published, or was cancelled before.
///
/// # Errors
/// [`Error::Database`]. If the future is dropped it may have been done.
pub async fn cancel_delayed(db: &Db, tenant: TenantId, id: Uuid) -> Result<bool, Error> {
    Ok(db.system().execute(&CANCEL, (tenant, id)).await? == 1)
}

fn place(after: Option<&Delayed>) -> (OffsetDateTime, Uuid) {
    after.map_or((OffsetDateTime::UNIX_EPOCH, Uuid::nil()), |last| (last.due, last.id))
}

#[derive(Row)]
struct DelayedRow {
    tenant_id: TenantId,
    id: Uuid,
    name: String,
    version: i32,
    key: String,
    due: OffsetDateTime,
    at: OffsetDateTime,
}

impl From<DelayedRow> for Delayed {
    fn from(row: DelayedRow) -> Self {
        Self {
            tenant: row.tenant_id,
            id: row.id,
            name: row.name,
            version: row.version.unsigned_abs(),
            key: row.key,
            due: row.due,
            at: row.at,
        }
    }
}
