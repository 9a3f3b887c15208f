//! The Redis backend: one script per step, bodies in one hash per queue, running jobs in one hash per worker.
//!
//! How safe a job is follows from how the server is set up: an answered call is in its memory. What a crash or a failover of it may
//! take back is in the documentation of [`Queues::redis`].

mod codec;
mod control;
mod enqueue;
mod find;
mod keys;
mod letters;
mod limits;
mod schedules;
mod scripts;
#[cfg(test)]
mod tests;
mod used;
mod wait;
mod work;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared_db::redis::{Call, FromRedisValue, Redis, Script, cmd};
use uuid::Uuid;

use crate::joined::Joined;
use crate::{Error, Queues};

use self::enqueue::Line;
use self::keys::Keys;

/// Jobs in one script: 250 take about a quarter of a millisecond, during which nobody else is served, and more at once are not faster.
const STEP: usize = 250;

/// Bytes of jobs in one script: a mebibyte, so that large payloads do not hold the server up either.
const STEP_BYTES: usize = 1024 * 1024;

/// For so long a queue counts as registered. A server that forgot everything learns of the queues in use within that time; and that
/// is a handful of commands for each process and queue.
const REGISTERED_FOR: Duration = Duration::from_secs(30);

/// Queues that a process remembers. One with more begins anew from time to time, and registers some too often.
const QUEUES: usize = 1000;

/// The prefix of keys where no other is named.
const PREFIX: &str = "queues";

impl Queues {
    /// Queues in Redis 6.2 or later, Valkey, or a cluster of either, under keys that begin with `queues` or, in what the scripts of one
    /// queue touch, `{queues:`. All keys of a queue lie in one slot: a cluster spreads queues, not the jobs of one.
    ///
    /// # What a lost server loses
    /// An answered call is in the memory of its server. What the server itself forgets is lost, silently:
    ///
    /// | set up | a crash of the process | a crash of the machine | a failover |
    /// |---|---|---|---|
    /// | no persistence | everything | everything | the writes that the replica did not have yet |
    /// | `appendonly yes`, `appendfsync everysec` | up to about 2 s of writes where the disk is slow, else nothing | up to about 2 s of writes | the same |
    /// | `appendonly yes`, `appendfsync always` | nothing | nothing | the same |
    ///
    /// A lost write is one of three things. A lost enqueue: the job is gone. A lost claim or renewal: the job is ready again, and the
    /// worker that has it is refused. A lost completion: the job runs once more, a beat later at most also where its worker lives and has
    /// forgotten it. The fence holds through all of it, since it names the
    /// worker's incarnation and its own claim number: nothing that the server forgot can be mistaken for what it gave out later. Set
    /// `maxmemory-policy noeviction`: any other one throws jobs away.
    ///
    /// After a crash of its machine Redis may start from a file that was cut in the middle of a script; `short read` is in its log then. It
    /// has not carried that script out, but leaves the first part of it in the file, and does so at its next start (6.2 and 7.0 do): counts
    /// are wrong then, and jobs may stay behind their limits. `BGREWRITEAOF`, before it is restarted, makes the file anew.
    pub fn redis(redis: &Redis) -> Self {
        Self::on(RedisBackend::new(redis, PREFIX), None)
    }

    /// The same under another prefix: for several applications in one Redis, or for tests.
    ///
    /// # Errors
    /// [`Error::Database`] with [`shared_db::Error::Config`] for a prefix that is not 1 to 64 letters, digits, `-`, `_`, `.` or `:`.
    pub fn redis_with_prefix(redis: &Redis, prefix: &str) -> Result<Self, Error> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(is_fit) {
            let reason = "a prefix of queues has 1 to 64 letters, digits, `-`, `_`, `.` or `:`";
            return Err(shared_db::Error::Config(reason.to_owned()).into());
        }
        Ok(Self::on(RedisBackend::new(redis, prefix), None))
    }
}

/// Queues in Redis.
pub(crate) struct RedisBackend {
    redis: Redis,
    keys: Keys,
    /// The queues that this process uses.
    known: Mutex<HashMap<Arc<str>, Known>>,
    registered_for: Duration,
    /// The leases of this process's workers in milliseconds: each of their calls is a sign of life.
    leases: Mutex<HashMap<Uuid, u64>>,
}

/// A queue that this process uses.
struct Known {
    /// When it was last written into the registry, with the rules of limits.
    registered: Instant,
    joined: Arc<Joined<Line>>,
}

impl RedisBackend {
    pub(crate) fn new(redis: &Redis, prefix: &str) -> Self {
        Self {
            redis: redis.clone(),
            keys: Keys::new(prefix),
            known: Mutex::default(),
            registered_for: REGISTERED_FOR,
            leases: Mutex::default(),
        }
    }

    /// A script of a queue.
    fn on(&self, script: &'static Script, queue: &str) -> Call {
        script.keys([self.keys.queue(queue)])
    }

    async fn run<T: FromRedisValue>(&self, call: Call) -> Result<T, Error> {
        Ok(self.redis.script(&call).await?)
    }

    /// All queues that were ever used, by name.
    async fn names(&self) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = self.redis.command(cmd("SMEMBERS").arg(self.keys.registry())).await?;
        names.sort();
        Ok(names)
    }

    /// Writes a queue into the registry, and the rules of limits into the queue: in this order, so that whoever changes a rule either
    /// sees the queue or was before. Now and then while the queue is in use, and when a worker starts.
    async fn introduce(&self, queue: &str, again: bool) -> Result<(), Error> {
        if !again && self.is_registered(queue) {
            return Ok(());
        }
        let _: i64 = self.redis.command(cmd("SADD").arg(self.keys.registry()).arg(queue)).await?;
        self.copy_rules(queue).await?;
        self.know(queue);
        Ok(())
    }

    /// When its time is over the first who asks hears so; for the others it still is, until that one is done.
    fn is_registered(&self, queue: &str) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Known { registered, .. }) = known.get_mut(queue) else { return false };
        let is_fresh = registered.elapsed() < self.registered_for;
        if !is_fresh {
            *registered = Instant::now();
        }
        is_fresh
    }

    fn know(&self, queue: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(queue) {
            known.registered = Instant::now();
            return;
        }
        if known.len() >= QUEUES {
            known.clear();
        }
        let joined = Arc::new(Joined::new(self.line(queue)));
        known.insert(Arc::from(queue), Known { registered: Instant::now(), joined });
    }

    /// By which callers enqueue together.
    fn joined(&self, queue: &str) -> Arc<Joined<Line>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = known.get(queue).map(|known| known.joined.clone());
        joined.unwrap_or_else(|| Arc::new(Joined::new(self.line(queue))))
    }

    /// In milliseconds; 0 for a worker of another process.
    fn lease_of(&self, worker: Uuid) -> u64 {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.get(&worker).copied().unwrap_or_default()
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisBackend({:?})", self.redis)
    }
}
