//! The Postgres backend: what the family's tables are asked and told.

mod claim;
mod columns;
mod control;
mod dead;
mod enqueue;
mod gates;
mod lease;
mod limits;
mod look;
mod notice;
mod portions;
mod prune;
mod schedules;
mod settings;
mod settle;
mod turns;
mod work;

use std::fmt;
use std::sync::Arc;

use shared_db::{Db, MigrationSet, Step};
use tokio::sync::Notify;

use crate::Queues;
use crate::joined::Joined;
use crate::outbox::Way;
pub(crate) use enqueue::{Outbox, Told, Written, enqueue_unique};
pub(crate) use settle::Completion;

/// The tables of the queues, in the schema `shared_queues`.
pub const MIGRATIONS: MigrationSet = MigrationSet::new(
    "shared_queues",
    &[
        Step::sql(1, "jobs", include_str!("../migrations/0001_jobs.sql")),
        Step::sql(2, "lanes", include_str!("../migrations/0002_lanes.sql")),
        Step::sql(3, "ends", include_str!("../migrations/0003_ends.sql")),
        Step::sql(4, "unique", include_str!("../migrations/0004_unique.sql")),
        Step::sql(5, "schedules", include_str!("../migrations/0005_schedules.sql")),
    ],
)
.requires(&["shared_db"])
.catalogue(include_str!("../migrations/catalogue.txt"));

/// The name of the signal that wakes idle workers of this process.
pub(crate) const SIGNAL: &str = "queues";

/// The queues' tables, through the system role.
pub(crate) struct Store {
    db: Db,
    turns: turns::Turns,
    pub(crate) joined: Joined<enqueue::Plain>,
    crier: Arc<notice::Crier>,
    ears: notice::Ears,
    /// Where the next look for needless marks begins.
    marks: prune::Marks,
}

impl Store {
    pub(crate) fn new(db: &Db) -> Self {
        // Where an outbox was made for it, that stays.
        db.extension_or_default::<Way>();
        Self {
            db: db.clone(),
            turns: turns::Turns::default(),
            joined: Joined::new(enqueue::Plain(db.clone())),
            crier: db.extension_or_default(),
            ears: notice::Ears::default(),
            marks: prune::Marks::default(),
        }
    }

    fn signal(&self) -> Arc<Notify> {
        self.db.signal(SIGNAL)
    }
}

/// Wakes idle workers of this process: all that wait, or the one that is about to.
pub(crate) fn wake(db: &Db) {
    let signal = db.signal(SIGNAL);
    signal.notify_waiters();
    signal.notify_one();
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({:?})", self.db)
    }
}

impl Queues {
    /// Queues in the tables of this database, which [`MIGRATIONS`] makes. Jobs are enqueued with the COMMIT of a tenant's transaction
    /// ([`Enqueue`](crate::Enqueue)), and completed with that of their handler's ([`JobContext::tx`](crate::JobContext::tx)).
    ///
    /// Idle workers of this process hear of what is enqueued in it at once, and of what others enqueue by `LISTEN`, on a connection of its
    /// own. Behind a pooler that needs the direct URL; without it, and should the connection be away, they look from time to time.
    ///
    /// From here on transactions of this `db` and its clones may [enqueue](crate::Enqueue): into these tables, unless
    /// [an outbox](Self::with_outbox) was made for the `db` before, which stays
    /// where their jobs go.
    pub fn postgres(db: &Db) -> Self {
        Self::on(Store::new(db), Some(db.clone()))
    }
}

/// Every statement of the crate, for the test that compares them with the migrated schema.
#[doc(hidden)]
pub fn statements() -> impl Iterator<Item = &'static [(&'static str, &'static dyn shared_db::Check)]> {
    [
        enqueue::STATEMENTS,
        claim::STATEMENTS,
        gates::STATEMENTS,
        lease::STATEMENTS,
        settle::STATEMENTS,
        prune::STATEMENTS,
        look::STATEMENTS,
        dead::STATEMENTS,
        settings::STATEMENTS,
        limits::STATEMENTS,
        schedules::STATEMENTS,
        crate::effect::STATEMENTS,
    ]
    .into_iter()
}
