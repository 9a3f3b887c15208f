use std::time::Duration;

use async_trait::async_trait;
use shared_core::TenantId;
use shared_db::{Row, statements};
use time::OffsetDateTime;

use super::Store;
use super::columns::{limits, milliseconds, priority, read_limits, read_unique, unique, version};
use super::enqueue::{enqueue_in, queues_of};
use crate::backend::{Entry, Schedules, StoredSchedule};
use crate::schedule::MissedRuns;
use crate::{Enqueued, Error, JobId};

/// The columns of a schedule.
macro_rules! schedule {
    () => {
        "select queue, name, cron, zone, missed, paused, next, tenant_id, job_name, version, payload, context, band, delay, order_key, limits,
                unique_rule
           from shared_queues.schedule"
    };
}

statements! {
    /// When it comes: `$1` queue, `$2` name, `$3` cron, `$4` zone, `$5` missed runs, `$6` paused, `$7` next, `$8` tenant. Returns whether it was
    /// there. What it enqueues comes with the next statement.
    const PUT: Statement<(String, String, String, String, String, bool, OffsetDateTime, TenantId), ()> = "
        insert into shared_queues.schedule as s (queue, name, cron, zone, missed, paused, next, due_at, tenant_id, job_name, version, payload,
                                                 context, band, delay)
        values ($1, $2, $3, $4, $5, $6, $7, $7, $8, '', 0, '', '', 1, 0)
            on conflict (queue, name) do update
           set missed = excluded.missed, tenant_id = excluded.tenant_id, cron = excluded.cron, zone = excluded.zone,
               next = case when s.cron = excluded.cron and s.zone = excluded.zone then s.next else excluded.next end,
               due_at = case when s.cron = excluded.cron and s.zone = excluded.zone then s.next else excluded.next end";
    const PUT_JOB: Statement<(String, String, String, i32, String, String, i16, i64, Option<String>, Option<String>, Option<String>), ()> = "
        update shared_queues.schedule
           set job_name = $3, version = $4, payload = $5, context = $6, band = $7, delay = $8, order_key = $9, limits = $10, unique_rule = $11
         where queue = $1 and name = $2";
    const REMOVE: Statement<(String, String), ()> = "delete from shared_queues.schedule where queue = $1 and name = $2";
    const PAUSE: Statement<(String, String, bool), ()> = "
        update shared_queues.schedule set paused = $3, due_at = next where queue = $1 and name = $2";
    const ALL: Statement<(Option<String>,), ScheduleRow> = concat!(schedule!(), " where $1::text is null or queue = $1 order by queue, name");
    const DUE: Statement<(String, i64), ScheduleRow> = concat!(schedule!(), "
         where queue = $1 and not paused and due_at <= (select clock_timestamp()) order by due_at, name limit $2");
    const NOW: Statement<(), OffsetDateTime> = "select clock_timestamp()";
    /// `$3` the slot, `$4` the one after it. It may have been paused since it was found due.
    const FIRE: Statement<(String, String, OffsetDateTime, OffsetDateTime), ()> = "
        update shared_queues.schedule set next = $4, due_at = $4 where queue = $1 and name = $2 and next = $3 and not paused";
    /// `$3` the slot, `$4` until when.
    const PUT_OFF: Statement<(String, String, OffsetDateTime, OffsetDateTime), ()> = "
        update shared_queues.schedule set due_at = $4 where queue = $1 and name = $2 and next = $3";
}

/// Due schedules that are returned at once, at most.
const AT_ONCE: i64 = 100;

#[derive(Row)]
struct ScheduleRow {
    queue: String,
    name: String,
    cron: String,
    zone: String,
    missed: String,
    paused: bool,
    next: OffsetDateTime,
    tenant_id: TenantId,
    job_name: String,
    version: i32,
    payload: String,
    context: String,
    band: i16,
    delay: i64,
    order_key: Option<String>,
    limits: Option<String>,
    unique_rule: Option<String>,
}

#[async_trait]
impl Schedules for Store {
    async fn put_schedule(&self, schedule: &StoredSchedule) -> Result<(), Error> {
        let entry = &schedule.entry;
        let (queue, name) = (&*entry.queue, schedule.name.as_str());
        let mut tx = self.db.system().begin().await?;
        let (cron, zone, missed) = (schedule.cron.as_str(), schedule.zone.as_str(), schedule.missed.as_str());
        let when = (queue, name, cron, zone, missed, schedule.paused, schedule.next, entry.tenant);
        tx.execute(&PUT, when).await?;
        let what = (
            queue,
            name,
            &*entry.name,
            version(entry.version),
            entry.payload.as_str(),
            entry.context.as_str(),
            entry.priority.band(),
            milliseconds(entry.delay),
            entry.order.as_deref(),
            limits(&entry.limits),
            entry.unique.as_ref().map(unique),
        );
        tx.execute(&PUT_JOB, what).await?;
        Ok(tx.commit().await?)
    }

    async fn remove_schedule(&self, queue: &str, name: &str) -> Result<bool, Error> {
        Ok(self.db.system().execute(&REMOVE, (queue, name)).await? > 0)
    }

    async fn set_schedule_paused(&self, queue: &str, name: &str, paused: bool) -> Result<bool, Error> {
        Ok(self.db.system().execute(&PAUSE, (queue, name, paused)).await? > 0)
    }

    async fn schedules(&self, queue: Option<&str>) -> Result<Vec<StoredSchedule>, Error> {
        let rows = self.db.system().all(&ALL, (queue,)).await?;
        Ok(rows.into_iter().map(StoredSchedule::from).collect())
    }

    async fn due_schedules(&self, queue: &str) -> Result<(OffsetDateTime, Vec<StoredSchedule>), Error> {
        let door = self.db.system();
        let rows = door.all(&DUE, (queue, AT_ONCE)).await?;
        let now = door.one(&NOW, ()).await?;
        Ok((now, rows.into_iter().map(StoredSchedule::from).collect()))
    }

    async fn fire(
        &self,
        schedule: &StoredSchedule,
        slot: OffsetDateTime,
        next: OffsetDateTime,
        jobs: Vec<Entry>,
    ) -> Result<Option<Vec<Enqueued>>, Error> {
        let mut tx = self.db.system().begin().await?;
        if tx.execute(&FIRE, (&*schedule.entry.queue, schedule.name.as_str(), slot, next)).await? == 0 {
            tx.rollback().await;
            return Ok(None);
        }
        let written = enqueue_in(&mut tx, &jobs).await?;
        tx.commit().await?;
        self.tell(&queues_of(&jobs)).await;
        Ok(Some(written))
    }

    async fn put_off_schedule(&self, schedule: &StoredSchedule, until: OffsetDateTime) -> Result<(), Error> {
        let what = (&*schedule.entry.queue, schedule.name.as_str(), schedule.next, until);
        self.db.system().execute(&PUT_OFF, what).await?;
        Ok(())
    }
}

impl From<ScheduleRow> for StoredSchedule {
    fn from(row: ScheduleRow) -> Self {
        Self {
            name: row.name,
            cron: row.cron,
            zone: row.zone,
            missed: MissedRuns::read(&row.missed).unwrap_or_default(),
            paused: row.paused,
            next: row.next,
            entry: Entry {
                // Those that it enqueues have ids of their own.
                job: JobId::from_uuid(uuid::Uuid::nil()),
                tenant: row.tenant_id,
                queue: row.queue.into(),
                name: row.job_name.into(),
                version: row.version.unsigned_abs(),
                payload: row.payload,
                context: row.context,
                priority: priority(row.band),
                delay: Duration::from_millis(row.delay.unsigned_abs()),
                order: row.order_key,
                limits: read_limits(row.limits.as_deref()),
                unique: row.unique_rule.as_deref().and_then(read_unique),
            },
        }
    }
}
