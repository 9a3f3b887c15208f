//! The Postgres backend: what the family's tables are asked and told.

mod board;
mod claim;
mod enqueue;
mod lease;
#[cfg(test)]
mod model;
mod settle;

use shared_db::{Db, MigrationSet, Step};
use uuid::Uuid;

pub(crate) use claim::Claimed;
pub(crate) use enqueue::{NewJob, Outbox};
pub(crate) use settle::{Completion, Fate, Settled};

/// The tables of the queues, in the schema `shared_queues`.
pub const MIGRATIONS: MigrationSet =
    MigrationSet::new("shared_queues", &[Step::sql(1, "jobs", include_str!("../migrations/0001_jobs.sql"))])
        .requires(&["shared_db"])
        .catalogue(include_str!("../migrations/catalogue.txt"));

/// The name of the signal that wakes idle workers of this process.
pub(crate) const SIGNAL: &str = "queues";

/// Which claim holds a job: it is named in every change of the job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) worker: Uuid,
    pub(crate) claim: i64,
    pub(crate) id: i64,
}

/// The queues' tables, through the system role.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) db: Db,
}

/// Every statement of the crate, for the test that compares them with the migrated schema.
#[doc(hidden)]
pub fn statements() -> impl Iterator<Item = &'static [(&'static str, &'static dyn shared_db::Check)]> {
    [enqueue::STATEMENTS, claim::STATEMENTS, lease::STATEMENTS, settle::STATEMENTS, board::STATEMENTS]
        .into_iter()
}
