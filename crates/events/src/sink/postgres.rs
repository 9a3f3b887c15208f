//! The log of another database.

use std::fmt;

use async_trait::async_trait;
use shared_core::TenantId;
use shared_db::{Db, Tx, statements};
use uuid::Uuid;

use super::{Accepted, Capabilities, Dedup, Refusal, Sink};
use crate::publish::SIGNAL;
use crate::{Envelope, Error, Lane, Place, context};

statements! {
    const BEGIN: Statement<(String, i16), ()> = "
        insert into shared_events.received (source, lane) values ($1, $2) on conflict do nothing";
    // The lock lets relays that compete go one after the other.
    const LOCK: Statement<(String, i16), (i64, i64)> = "
        select tick, pos from shared_events.received where source = $1 and lane = $2 for update";
    const LAST: Statement<(String, i16), (i64, i64)> = "
        select tick, pos from shared_events.received where source = $1 and lane = $2";
    const MOVE: Statement<(String, i16, i64, i64), ()> = "
        update shared_events.received set tick = $3, pos = $4, moved = clock_timestamp() where source = $1 and lane = $2";
    const RECEIVE: Statement<(Vec<Uuid>, Vec<TenantId>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<String>), ()> = "
        insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
        select shared_events.lane_of(e.tenant_id, e.key), e.id, e.tenant_id, e.name, e.version, e.key, e.payload::json, e.context::json
          from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int4[], $5::text[], $6::text[], $7::text[])
               with ordinality as e (id, tenant_id, name, version, key, payload, context, place)
         order by e.place";
}

/// The log of another database, which has the schema `shared_events` too: events are published there as if by its own transactions, with
/// their identity, tenant and context, and its own relays deliver them. How far it has come is kept beside them and moves in
/// the same transaction, so that each arrives once.
///
/// What arrives has the time and the place of the log that it arrives in. Two databases must not bring each other the same
/// events: an event that comes back is a new one there.
#[derive(Clone)]
pub struct PostgresLog {
    db: Db,
    source: String,
}

impl PostgresLog {
    /// The log of `db`. `source` is the name under which it keeps how far the events of this program's database have come: each
    /// database that brings events there has one of its own, which stays.
    ///
    /// # Errors
    /// [`Error::Config`] for a name of other than 1 to 63 letters, digits, `-`, `_`, `.` or `:`.
    pub fn new(db: &Db, source: &str) -> Result<Self, Error> {
        Ok(Self { db: db.clone(), source: super::word(source, "-_.:")? })
    }

    /// Appends what is behind the place that the log has; all of it or nothing.
    async fn receive(&self, lane: Lane, after: Place, events: &[Envelope]) -> Result<Accepted, Error> {
        let (source, number) = (&self.source, i16::from(lane.number()));
        let receive = async |tx: &mut Tx| -> Result<_, Error> {
            tx.execute(&BEGIN, (source, number)).await?;
            let (tick, pos) = tx.one(&LOCK, (source, number)).await?;
            let has = Place::new(tick, pos);
            if has != after {
                return Ok(Accepted::until(
                    0,
                    Refusal::Fenced(format!("its last event is {has}, and was {after}")),
                ));
            }
            let new: Vec<&Envelope> = events.iter().filter(|event| event.place > has).collect();
            if let Some(last) = new.last() {
                tx.execute(&RECEIVE, columns(&new)).await?;
                tx.execute(&MOVE, (source, number, last.place.tick, last.place.pos)).await?;
            }
            Ok(Accepted::all(events.len()))
        };
        let accepted = self.db.system().tx(receive).await?;
        // Its relays in this process, if there are any.
        self.db.signal(SIGNAL).notify_waiters();
        Ok(accepted)
    }
}

type Columns = (Vec<Uuid>, Vec<TenantId>, Vec<String>, Vec<i32>, Vec<String>, Vec<String>, Vec<String>);

fn columns(events: &[&Envelope]) -> Columns {
    // What could not be read here is none there either.
    let context = |event: &&Envelope| match event.context.tenant() == event.tenant {
        true => context::write(&event.context, event.context.traceparent()),
        false => "{}".to_owned(),
    };
    let each = || events.iter();
    (
        each().map(|event| event.id).collect(),
        each().map(|event| event.tenant).collect(),
        each().map(|event| event.name.clone()).collect(),
        each().map(|event| i32::try_from(event.version).unwrap_or(i32::MAX)).collect(),
        each().map(|event| event.key.clone()).collect(),
        each().map(|event| event.payload.clone()).collect(),
        each().map(context).collect(),
    )
}

#[async_trait]
impl Sink for PostgresLog {
    fn name(&self) -> &str {
        "postgres"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::Exact, true, true, true)
    }

    async fn last(&self, lane: Lane) -> Result<Option<Place>, Refusal> {
        let found = self.db.system().opt(&LAST, (&self.source, i16::from(lane.number()))).await;
        let found = found.map_err(|error| Refusal::Later(error.to_string()))?;
        Ok(found.map(|(tick, pos)| Place::new(tick, pos)).filter(|place| *place > Place::default()))
    }

    /// One transaction for all of them. Where that fails for one that can never be taken, they go one by one, up to that one.
    async fn send(&self, lane: Lane, after: Option<Place>, events: &[Envelope]) -> Accepted {
        let mut after = after.unwrap_or_default();
        match self.receive(lane, after, events).await {
            Ok(accepted) => return accepted,
            Err(error) if !is_refused(&error) => {
                return Accepted::until(0, Refusal::Later(error.to_string()));
            }
            Err(_) => {}
        }
        for (count, event) in events.iter().enumerate() {
            match self.receive(lane, after, std::slice::from_ref(event)).await {
                Ok(Accepted { refusal: None, .. }) => after = after.max(event.place),
                Ok(Accepted { refusal: Some(refusal), .. }) => return Accepted::until(count, refusal),
                Err(error) if is_refused(&error) => {
                    return Accepted::until(count, Refusal::Never(error.to_string()));
                }
                Err(error) => return Accepted::until(count, Refusal::Later(error.to_string())),
            }
        }
        Accepted::all(events.len())
    }
}

/// Whether the other database will never take it: a value that does not fit (22), or breaks one of its own rules (23).
fn is_refused(error: &Error) -> bool {
    match error {
        Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
        }
        _ => false,
    }
}

impl fmt::Debug for PostgresLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLog").field("source", &self.source).finish_non_exhaustive()
    }
}
