//! What is due among the parked: the head of a key first, and behind it, if it had its effect, the rest in order.

use std::time::Duration;

use futures_util::future::try_join_all;
use shared_core::{AssumedTenant, Failure, InTenant, TenantId, fault};
use shared_db::{Row, TenantTx, statements};
use uuid::Uuid;

use super::turn::Begun;
use super::{Executor, Named, keep, parked, run, turn};
use crate::log::{Stored, lane, stored};
use crate::metrics::{METRICS, consumer};
use crate::{Envelope, Error, Lane};

statements! {
    const DUE: Statement<(String, Vec<i16>, Vec<String>, i64), (TenantId, String, i16, String)> = "
        select tenant_id, consumer, lane, key from shared_events.parked
         where subscription = $1 and next_at <= clock_timestamp() and lane = any ($2) and consumer = any ($3)
         order by next_at limit $4";
    const NEXT: Statement<(String, Vec<i16>, Vec<String>), Option<f64>> = "
        select extract(epoch from min(next_at) - clock_timestamp())::float8 from shared_events.parked
         where subscription = $1 and next_at is not null and lane = any ($2) and consumer = any ($3)";

    // The position is locked already: nobody else touches this key's rows but an operator. The head need not have the least position: a
    // transaction that shared no lock with its own may have drawn an earlier one, and committed later.
    const HEAD: Statement<(String, String, String), Head> = "
        select pos, xid::text::bigint as xid, event_id, name, attempts, state = 'retrying' and next_at <= clock_timestamp() as is_due,
               envelope::text as envelope
          from shared_events.parked where tenant_id = $tenant and subscription = $1 and consumer = $2 and key = $3
         order by state = 'waiting', pos limit 1 for update";
    const EVENT: Statement<(i16, i64, i64), Stored> = concat!("
        select ", stored!(), ", null::bigint as stamp from shared_events.log
         where log.lane = $1 and log.xid = $2::int8::text::xid8 and log.pos = $3 and log.tenant_id = $tenant");
    const UNPARK: Statement<(String, String, String, i64), ()> = "
        delete from shared_events.parked
         where tenant_id = $tenant and subscription = $1 and consumer = $2 and key = $3 and pos = $4";
    // The one behind is the head now, and due.
    const PROMOTE: Statement<(String, String, String), i64> = "
        update shared_events.parked set state = 'retrying', next_at = clock_timestamp()
         where tenant_id = $tenant and subscription = $1 and consumer = $2 and key = $3 and state = 'waiting'
           and pos = (select min(pos) from shared_events.parked
                       where tenant_id = $tenant and subscription = $1 and consumer = $2 and key = $3)
        returning pos";
    // Not if somebody else has tried it, or an operator redriven it, meanwhile.
    const STILL_PARKED: Statement<(String, String, String, i64, i32, String, Option<f64>), ()> = "
        update shared_events.parked
           set attempts = attempts + 1, reason = $6, state = case when $7::float8 is null then 'dead' else 'retrying' end,
               next_at = clock_timestamp() + make_interval(secs => $7::float8)
         where tenant_id = $tenant and subscription = $1 and consumer = $2 and key = $3 and pos = $4 and attempts = $5
           and state = 'retrying'";
}

/// Keys that are looked up at once: as many as keep the connections busy for a moment.
const KEYS_AT_ONCE: i64 = 100;

#[derive(Row)]
struct Head {
    pos: i64,
    xid: Option<i64>,
    event_id: Uuid,
    name: String,
    attempts: i32,
    is_due: bool,
    envelope: Option<String>,
}

/// What came of a round of retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retried {
    /// Effects that were committed.
    pub(crate) effects: u64,
    /// When the next is due; `None` if nothing waits.
    pub(crate) next: Option<Duration>,
}

/// What became of a key's head.
enum Step {
    /// It had its effect, and the next one of the key is due.
    Next,
    /// It had its effect, and was the last.
    Empty,
    /// It is not there, or not due, or somebody else's.
    Nothing,
    /// It failed once more.
    Failed,
}

impl Executor {
    /// Runs what is due among the parked of these lanes.
    ///
    /// # Errors
    /// Where the database fails: the same is to come again. So it is where the future is dropped.
    pub(crate) async fn retry(&self, lanes: &[Lane]) -> Result<Retried, Error> {
        let lanes: Vec<i16> = lanes.iter().map(|lane| lane.column()).collect();
        let names: Vec<String> = self.consumers.iter().map(|named| named.name.to_owned()).collect();
        let due = self.db.system().all(&DUE, (&self.subscription, &lanes, &names, KEYS_AT_ONCE)).await?;
        let keys = due.iter().map(|(tenant, consumer, lane, key)| self.key(*tenant, consumer, *lane, key));
        let effects = try_join_all(keys).await?.iter().sum();
        let next = self.db.system().one(&NEXT, (&self.subscription, &lanes, &names)).await?;
        Ok(Retried { effects, next: next.map(|wait| Duration::from_secs_f64(wait.max(0.0))) })
    }

    /// Runs a key's parked events in their order, until one fails. Returns how many had their effect.
    async fn key(&self, tenant: TenantId, consumer: &str, of: i16, key: &str) -> Result<u64, Error> {
        let Some(to) = self.consumers.iter().find(|named| named.name == consumer) else { return Ok(0) };
        let mut effects = 0;
        while !self.stop.is_cancelled() {
            let Some(_slot) = self.slots.ask(tenant).slot().await else { break };
            match self.head(tenant, to, lane(of), key).await? {
                Step::Next => effects += 1,
                Step::Empty => return Ok(effects + 1),
                Step::Nothing | Step::Failed => break,
            }
        }
        Ok(effects)
    }

    /// Runs the head of a key, if it is due, and takes it out with its effect.
    async fn head(&self, tenant: TenantId, to: &Named, lane: Lane, key: &str) -> Result<Step, Error> {
        let proof = AssumedTenant::new(tenant, "a parked event of the tenant");
        // Whoever delivers the key's next event waits, and then sees whether it is still parked.
        let Begun { mut tx, .. } = self.begin(&proof, to, lane, (&[], None)).await?;
        let head = tx.opt(&HEAD, (&self.subscription, to.name, key)).await?;
        let Some(head) = head.filter(|head| head.is_due) else {
            tx.rollback().await;
            return Ok(Step::Nothing);
        };
        let failure = match event(&mut tx, lane, &head).await? {
            Some(event) => match self.take(tx, to, &event, &head).await? {
                Ok(step) => return Ok(step),
                Err(failure) => failure,
            },
            None => {
                tx.rollback().await;
                Failure::dead("the log has it no more")
            }
        };
        self.still_parked(&proof, to, key, &head, &failure).await?;
        Ok(Step::Failed)
    }

    /// The effect, and the way out for its row, in one transaction; or why not.
    async fn take(
        &self,
        mut tx: TenantTx,
        to: &Named,
        event: &Envelope,
        head: &Head,
    ) -> Result<Result<Step, Failure>, Error> {
        let Some(function) = to.function(&event.name) else {
            tx.rollback().await;
            return Ok(Err(Failure::new("this program has no consumer of its type")));
        };
        tx.continue_in(event.proof().context()).await?;
        let attempt = head.attempts.unsigned_abs() + 1;
        if attempt > 1 {
            METRICS.redelivered.add(1, &consumer(to.name));
        }
        if let Err(failed) = run::call(function, &mut tx, event, attempt, self.limits.timeout).await {
            if failed.is_answered {
                tx.rollback().await;
            }
            return Ok(Err(failed.failure));
        }
        let taken = async {
            tx.execute(&UNPARK, (&self.subscription, to.name, &event.key, head.pos)).await?;
            let next = tx.opt(&PROMOTE, (&self.subscription, to.name, &event.key)).await?;
            fault::point("events.relay.retried");
            tx.commit().await?;
            Ok(if next.is_some() { Step::Next } else { Step::Empty })
        };
        match taken.await {
            Ok(step) => {
                METRICS.effects.add(1, &consumer(to.name));
                Ok(Ok(step))
            }
            Err(error) => turn::at_commit(error).map(Err),
        }
    }

    async fn still_parked(
        &self,
        proof: &AssumedTenant,
        to: &Named,
        key: &str,
        head: &Head,
        failure: &Failure,
    ) -> Result<(), Error> {
        let attempts = head.attempts.unsigned_abs() + 1;
        let wait = self.wait(failure, attempts);
        turn::said(to.name, &head.name, head.event_id, failure, attempts, wait);
        let wait = wait.map(|wait| wait.as_secs_f64());
        let (subscription, reason) = (&self.subscription, parked::reason(failure));
        let params = (subscription, to.name, key, head.pos, head.attempts, reason, wait);
        self.db.tenant(proof).execute(&STILL_PARKED, params).await?;
        Ok(())
    }
}

/// The parked event: kept beside its row, or in the log.
async fn event(tx: &mut TenantTx, lane: Lane, head: &Head) -> Result<Option<Envelope>, Error> {
    if let Some(kept) = &head.envelope {
        return Ok(keep::read(kept));
    }
    let Some(xid) = head.xid else { return Ok(None) };
    Ok(tx.opt(&EVENT, (lane.column(), xid, head.pos)).await?.map(|stored| stored.at(0)))
}
