use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared_core::TenantId;
use shared_db::redis::Call;
use time::OffsetDateTime;
use uuid::Uuid;

use super::RedisBackend;
use super::codec::milliseconds;
use super::enqueue::{read_answer, with_entry};
use super::scripts::{FIRE, SCHEDULE};
use crate::backend::{Entry, Schedules, StoredSchedule};
use crate::limit::LimitKey;
use crate::schedule::MissedRuns;
use crate::unique::{OnDuplicate, Unique};
use crate::{Enqueued, Error, JobId, Priority};

/// Record, next slot, whether it is paused.
type Row = (String, i64, bool);

#[async_trait]
impl Schedules for RedisBackend {
    async fn put_schedule(&self, schedule: &StoredSchedule) -> Result<(), Error> {
        let queue = &schedule.entry.queue;
        self.introduce(queue, false).await?;
        let unwritable = |error: serde_json::Error| {
            Error::from(shared_db::Error::Config(format!("a schedule can't be written as JSON: {error}")))
        };
        let call = self
            .on(&SCHEDULE, queue)
            .arg("put")
            .arg(&schedule.name)
            .arg(serde_json::to_string(&Record::of(schedule)).map_err(unwritable)?)
            .arg(microseconds(schedule.next))
            .arg(format!("{}\n{}", schedule.cron, schedule.zone))
            .arg(u8::from(schedule.paused));
        self.run::<i64>(call).await.map(drop)
    }

    async fn remove_schedule(&self, queue: &str, name: &str) -> Result<bool, Error> {
        self.run(self.on(&SCHEDULE, queue).arg("remove").arg(name)).await
    }

    async fn set_schedule_paused(&self, queue: &str, name: &str, paused: bool) -> Result<bool, Error> {
        let word = if paused { "pause" } else { "resume" };
        self.run(self.on(&SCHEDULE, queue).arg(word).arg(name)).await
    }

    async fn schedules(&self, queue: Option<&str>) -> Result<Vec<StoredSchedule>, Error> {
        let queues = match queue {
            Some(queue) => vec![queue.to_owned()],
            None => self.names().await?,
        };
        let mut all = Vec::new();
        for queue in &queues {
            let rows: Vec<Row> = self.run(self.on(&SCHEDULE, queue).arg("all")).await?;
            let mut some: Vec<StoredSchedule> =
                rows.into_iter().filter_map(|row| stored(queue, row)).collect();
            some.sort_by(|a, b| a.name.cmp(&b.name));
            all.extend(some);
        }
        Ok(all)
    }

    async fn due_schedules(&self, queue: &str) -> Result<(OffsetDateTime, Vec<StoredSchedule>), Error> {
        let (now, rows): (i64, Vec<Row>) = self.run(self.on(&SCHEDULE, queue).arg("due")).await?;
        Ok((instant(now), rows.into_iter().filter_map(|row| stored(queue, row)).collect()))
    }

    async fn fire(
        &self,
        schedule: &StoredSchedule,
        slot: OffsetDateTime,
        next: OffsetDateTime,
        jobs: Vec<Entry>,
    ) -> Result<Option<Vec<Enqueued>>, Error> {
        let call: Call = self
            .on(&FIRE, &schedule.entry.queue)
            .arg(&schedule.name)
            .arg(microseconds(slot))
            .arg(microseconds(next));
        let said: Option<Vec<Vec<u8>>> = self.run(jobs.iter().fold(call, with_entry)).await?;
        Ok(said.map(|answers| answers.iter().filter_map(|answer| read_answer(answer)).collect()))
    }

    async fn put_off_schedule(&self, schedule: &StoredSchedule, until: OffsetDateTime) -> Result<(), Error> {
        let call = self
            .on(&SCHEDULE, &schedule.entry.queue)
            .arg("put off")
            .arg(&schedule.name)
            .arg(microseconds(schedule.next))
            .arg(microseconds(until));
        self.run::<i64>(call).await.map(drop)
    }
}

/// A schedule as JSON, without its next slot and whether it is paused.
#[derive(Serialize, Deserialize)]
struct Record {
    name: String,
    cron: String,
    zone: String,
    missed: String,
    tenant: Uuid,
    job: String,
    version: u32,
    payload: String,
    context: String,
    priority: i16,
    delay: u64,
    order: Option<String>,
    limits: Vec<(String, Option<String>)>,
    unique: Option<(String, String, u64)>,
}

impl Record {
    fn of(schedule: &StoredSchedule) -> Self {
        let entry = &schedule.entry;
        Self {
            name: schedule.name.clone(),
            cron: schedule.cron.clone(),
            zone: schedule.zone.clone(),
            missed: policy_word(schedule.missed).to_owned(),
            tenant: entry.tenant.as_uuid(),
            job: entry.name.clone().into_owned(),
            version: entry.version,
            payload: entry.payload.clone(),
            context: entry.context.clone(),
            priority: entry.priority.band(),
            delay: milliseconds(entry.delay),
            order: entry.order.clone(),
            limits: entry.limits.iter().map(|limit| (limit.name.to_string(), limit.key.clone())).collect(),
            unique: entry.unique.as_ref().map(|unique| {
                let (word, period) = mode_word(unique.on_duplicate);
                (unique.key.clone(), word.to_owned(), period)
            }),
        }
    }

    fn stored(self, queue: &str, next: OffsetDateTime, paused: bool) -> Option<StoredSchedule> {
        let limit = |(name, key): (String, Option<String>)| LimitKey { name: name.into(), key };
        let unique = match self.unique {
            None => None,
            Some((key, word, period)) => Some(Unique { key, on_duplicate: mode(&word, period)? }),
        };
        Some(StoredSchedule {
            name: self.name,
            cron: self.cron,
            zone: self.zone,
            missed: policy(&self.missed)?,
            paused,
            next,
            entry: Entry {
                job: JobId::from_uuid(Uuid::nil()),
                tenant: TenantId::from_uuid(self.tenant),
                queue: queue.to_owned().into(),
                name: self.job.into(),
                version: self.version,
                payload: self.payload,
                context: self.context,
                priority: Priority::from_band(self.priority),
                delay: Duration::from_millis(self.delay),
                order: self.order,
                limits: self.limits.into_iter().map(limit).collect(),
                unique,
            },
        })
    }
}

fn stored(queue: &str, (record, next, paused): Row) -> Option<StoredSchedule> {
    let record: Option<Record> = serde_json::from_str(&record).ok();
    let stored = record.and_then(|record| record.stored(queue, instant(next), paused));
    if stored.is_none() {
        tracing::error!(queue, "a schedule in Redis is not in the format of this version");
    }
    stored
}

const POLICIES: [(MissedRuns, &str); 3] =
    [(MissedRuns::Skip, "skip"), (MissedRuns::Once, "once"), (MissedRuns::Each, "each")];

fn policy_word(missed: MissedRuns) -> &'static str {
    POLICIES.into_iter().find(|(policy, _)| *policy == missed).map_or("once", |(_, word)| word)
}

fn policy(word: &str) -> Option<MissedRuns> {
    POLICIES.into_iter().find(|(_, known)| *known == word).map(|(policy, _)| policy)
}

fn mode_word(mode: OnDuplicate) -> (&'static str, u64) {
    match mode {
        OnDuplicate::Reject => ("reject", 0),
        OnDuplicate::Existing => ("existing", 0),
        OnDuplicate::Throttle(period) => ("throttle", milliseconds(period)),
        OnDuplicate::Debounce => ("debounce", 0),
        OnDuplicate::KeepLatest => ("keep latest", 0),
    }
}

fn mode(word: &str, period: u64) -> Option<OnDuplicate> {
    let modes = [
        OnDuplicate::Reject,
        OnDuplicate::Existing,
        OnDuplicate::Throttle(Duration::from_millis(period)),
        OnDuplicate::Debounce,
        OnDuplicate::KeepLatest,
    ];
    modes.into_iter().find(|mode| mode_word(*mode).0 == word)
}

fn microseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

fn instant(microseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
