//! The queues seen from outside: how much waits, and the dead letters.

use shared_core::TenantId;
use shared_db::{Error, Row, statements};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;

statements! {
    const BACKLOG: Statement<(), (i64, i64, i64, i64)> = "
        select (select count(*) from shared_queues.ready), (select count(*) from shared_queues.scheduled),
               (select coalesce(sum(cardinality(ids)), 0)::bigint from shared_queues.lease),
               (select count(*) from shared_queues.dead)";
    /// The latest first.
    const DEAD: Statement<(i64,), DeadRow> = "
        select job_id, tenant_id, queue, name, attempts, crashes, reason, error, died_at
          from shared_queues.dead order by died_at desc limit $1";
    const REDRIVE: Statement<(Vec<Uuid>,), i64> = "
        with revived as (
                 delete from shared_queues.dead where job_id = any ($1)
                 returning job_id, tenant_id, queue, name, version, payload, context),
             job as materialized (select nextval('shared_queues.job_order') as id, revived.* from revived),
             body as (
                 insert into shared_queues.body (id, tenant_id, job_id, queue, name, version, payload, context, due_at)
                 select id, tenant_id, job_id, queue, name, version, payload, context, clock_timestamp() from job),
             ready as (
                 insert into shared_queues.ready (queue, id, tenant_id) select queue, id, tenant_id from job returning 1)
        select count(*) from ready";
    /// Those that have been dead for longest.
    const DEAD_OF_NAME: Statement<(String, i64), Uuid> = "
        select job_id from shared_queues.dead where name = $1 order by died_at limit $2";
}

/// A dead letter as it is stored.
#[derive(Row)]
pub(crate) struct DeadRow {
    pub(crate) job_id: Uuid,
    pub(crate) tenant_id: TenantId,
    pub(crate) queue: String,
    pub(crate) name: String,
    pub(crate) attempts: i32,
    pub(crate) crashes: i32,
    pub(crate) reason: String,
    pub(crate) error: String,
    pub(crate) died_at: OffsetDateTime,
}

impl Store {
    pub(crate) async fn backlog(&self) -> Result<(i64, i64, i64, i64), Error> {
        self.db.system().one(&BACKLOG, ()).await
    }

    pub(crate) async fn dead(&self, most: u32) -> Result<Vec<DeadRow>, Error> {
        self.db.system().all(&DEAD, (i64::from(most),)).await
    }

    /// Makes these dead jobs ready again, and returns how many of them there were.
    pub(crate) async fn redrive(&self, jobs: &[Uuid]) -> Result<u64, Error> {
        Ok(self.db.system().one(&REDRIVE, (jobs,)).await?.unsigned_abs())
    }

    pub(crate) async fn dead_of_name(&self, name: &str, most: i64) -> Result<Vec<Uuid>, Error> {
        self.db.system().all(&DEAD_OF_NAME, (name, most)).await
    }
}
