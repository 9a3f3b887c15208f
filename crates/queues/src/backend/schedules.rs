use std::fmt;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Entry;
use crate::schedule::MissedRuns;
use crate::{Enqueued, Error};

/// A schedule as it is stored. The store knows nothing of cron: whoever fires a slot says which one is next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredSchedule {
    /// Unique in its queue.
    pub(crate) name: String,
    pub(crate) cron: String,
    /// A name of the IANA time zone database.
    pub(crate) zone: String,
    pub(crate) missed: MissedRuns,
    pub(crate) paused: bool,
    /// What is enqueued; its job id stands for nothing.
    pub(crate) entry: Entry,
    /// The slot that comes next.
    pub(crate) next: OffsetDateTime,
}

/// Jobs by the calendar.
#[async_trait]
pub(crate) trait Schedules: fmt::Debug + Send + Sync + 'static {
    /// Writes a schedule, over one of the same name in the queue, which stays paused if it is; one with the same cron and zone keeps
    /// its next slot.
    async fn put_schedule(&self, schedule: &StoredSchedule) -> Result<(), Error>;
    /// Whether there was one.
    async fn remove_schedule(&self, queue: &str, name: &str) -> Result<bool, Error>;
    async fn set_schedule_paused(&self, queue: &str, name: &str, paused: bool) -> Result<bool, Error>;
    /// By queue and name.
    async fn schedules(&self, queue: Option<&str>) -> Result<Vec<StoredSchedule>, Error>;
    /// The backend's time, and the schedules of a queue that are due and not paused; at most a hundred.
    async fn due_schedules(&self, queue: &str) -> Result<(OffsetDateTime, Vec<StoredSchedule>), Error>;
    /// Enqueues these jobs and moves the schedule on from `slot` to `next`, together, and answers for each job; unless somebody was
    /// faster: then it returns nothing, and has done nothing.
    async fn fire(
        &self,
        schedule: &StoredSchedule,
        slot: OffsetDateTime,
        next: OffsetDateTime,
        jobs: Vec<Entry>,
    ) -> Result<Option<Vec<Enqueued>>, Error>;
    /// Leaves a schedule that could not be fired alone until then, unless somebody fired it meanwhile. It keeps its slot, and waits no longer
    /// once it is written or paused anew.
    async fn put_off_schedule(&self, schedule: &StoredSchedule, until: OffsetDateTime) -> Result<(), Error>;
}
