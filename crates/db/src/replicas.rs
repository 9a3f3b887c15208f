//! Which server a read may go to.

mod position;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared_core::Secret;
use tokio::task::AbortHandle;

use self::position::Positions;
use crate::config::Config;
use crate::door::Door;
use crate::error::Error;
use crate::lsn::Lsn;
use crate::pool::Pool;
use crate::reaper::Reaper;
use crate::statements;

statements! {
    const PRIMARY: Statement<(), Lsn> = "select pg_catalog.pg_current_wal_insert_lsn()";
    /// Null on a server that has been promoted: it is no replica any more.
    const REPLICA: Statement<(), Option<Lsn>> = "
        select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() end";
}

/// How far behind its writes a read may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consistency {
    /// Everything that was committed: the primary.
    #[default]
    Primary,
    /// A replica that was as far as the primary no longer ago than this; where there is none, the primary.
    Eventual {
        /// The age of what may be missing.
        max_lag: Duration,
    },
    /// A replica that has replayed this position, such as that of one's own
    /// [last commit](crate::Tenant::committed_at); where there is none, the primary.
    AtLeast(Lsn),
}

/// The read replicas of a database, and how far each of them is.
pub(crate) struct Replicas {
    replicas: Arc<[Replica]>,
    /// The one to begin with, so that reads are spread.
    next: AtomicUsize,
    watch: AbortHandle,
}

struct Replica {
    pool: Pool,
    /// As last seen; 0 while it can't be reached or is no replica.
    replayed: AtomicU64,
    /// When the primary was there, for as much of the past as anybody asks for.
    positions: Arc<Mutex<Positions>>,
}

/// How long a look at a server may take: one that is slower than this is as good as gone for reads.
const LOOK: Duration = Duration::from_secs(1);

impl Replicas {
    /// `None` where no replica is configured. `primary` is asked for its position.
    pub(crate) fn new(
        config: &Config,
        role: &str,
        primary: Door,
        reaper: &Reaper,
    ) -> Result<Option<Self>, Error> {
        if config.replica_urls.is_empty() {
            return Ok(None);
        }
        let positions = Arc::new(Mutex::new(Positions::default()));
        let replica = |url: &Secret| {
            let pool = Pool::new(config, url, role, &[], reaper.clone())?;
            Ok(Replica { pool, replayed: AtomicU64::new(0), positions: positions.clone() })
        };
        let replicas: Arc<[Replica]> =
            config.replica_urls.iter().map(replica).collect::<Result<_, Error>>()?;
        let task = tokio::spawn(watch(primary, replicas.clone(), positions, config.replica_poll));
        Ok(Some(Self { replicas, next: AtomicUsize::new(0), watch: task.abort_handle() }))
    }

    /// The pool of a replica that is far enough.
    pub(crate) fn choose(&self, consistency: Consistency) -> Option<Pool> {
        let (start, now) = (self.next.fetch_add(1, Ordering::Relaxed), Instant::now());
        let in_turn =
            (0..self.replicas.len()).map(|offset| &self.replicas[(start + offset) % self.replicas.len()]);
        in_turn
            .into_iter()
            .find(|replica| replica.satisfies(consistency, now))
            .map(|replica| replica.pool.clone())
    }

    /// A read has failed there: it is left out until it answers again.
    pub(crate) fn leave_out(&self, pool: &Pool) {
        let known = self.replicas.iter().filter(|replica| replica.pool.is(pool));
        known.for_each(|replica| replica.replayed.store(0, Ordering::Relaxed));
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.replicas.iter().map(|replica| &replica.pool)
    }

    /// Stops looking after them.
    pub(crate) fn close(&self) {
        self.watch.abort();
        self.pools().for_each(Pool::close);
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Replica {
    fn satisfies(&self, consistency: Consistency, now: Instant) -> bool {
        let replayed = match self.replayed.load(Ordering::Relaxed) {
            0 => return false,
            replayed => Lsn::from_u64(replayed),
        };
        match consistency {
            Consistency::Primary => false,
            Consistency::AtLeast(position) => replayed >= position,
            Consistency::Eventual { max_lag } => {
                let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
                positions.lag(replayed, now).is_some_and(|lag| lag <= max_lag)
            }
        }
    }

    async fn look(&self) {
        let seen = look(Door::new(self.pool.clone()).one(&REPLICA, ())).await.flatten();
        self.replayed.store(seen.map_or(0, Lsn::as_u64), Ordering::Relaxed);
    }
}

/// Looks at all of them, again and again.
async fn watch(primary: Door, replicas: Arc<[Replica]>, positions: Arc<Mutex<Positions>>, every: Duration) {
    let mut looks = tokio::time::interval(every.max(Duration::from_millis(1)));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // Before it is asked: what is committed meanwhile is beyond the answer at the latest.
        let asked = Instant::now();
        if let Some(position) = look(primary.one(&PRIMARY, ())).await {
            positions.lock().unwrap_or_else(PoisonError::into_inner).primary_was_at(position, asked);
        }
        join_all(replicas.iter().map(Replica::look)).await;
    }
}

async fn look<T>(question: impl Future<Output = Result<T, Error>>) -> Option<T> {
    tokio::time::timeout(LOOK, question).await.ok()?.ok()
}
