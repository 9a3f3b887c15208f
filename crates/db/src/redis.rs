//! Redis: one connection that everybody shares, and a pool of those that need one of their own.
//!
//! ```no_run
//! use std::time::Duration;
//! use shared_db::redis::{Config, Redis, Script, cmd, pipe};
//!
//! static TAKE: Script = Script::new("take", "
//!     local left = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
//!     if left > 0 then redis.call('SET', KEYS[1], left - 1, 'EX', 60) end
//!     return left");
//!
//! # async fn run() -> Result<(), shared_db::Error> {
//! let redis = Redis::connect(&Config::new("redis://localhost")).await?;
//!
//! // On the shared connection; what is asked at the same time travels together.
//! let visits: i64 = redis.command(cmd("INCR").arg("visits")).await?;
//! let (name, age): (String, Option<u32>) = redis.pipeline(pipe().get("name").get("age")).await?;
//! let left: i64 = redis.script(&TAKE.keys(["tokens"]).arg(10)).await?;
//!
//! // On a connection of one's own: what waits, and what watches.
//! let mut connection = redis.get().await?;
//! let next: Option<(String, String)> =
//!     connection.wait(cmd("BLPOP").arg("jobs").arg(30), Duration::from_secs(30)).await?;
//!
//! redis.close(Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! [`cmd`], [`pipe`] and the traits that convert keys, arguments and answers are those of the crate `redis`.
//!
//! # What is guaranteed
//! - Nothing is sent twice. A command that was sent and not answered is an error that says so:
//!   [`CommandTimeout`](crate::Error::CommandTimeout) or [`Unanswered`](crate::Error::Unanswered). Redirections of a cluster are
//!   followed, since a node that sends a command on has not carried it out.
//! - Every call has a deadline, opening a connection included.
//! - A dropped future leaves no answer to somebody else: the shared connection throws it away, and a
//!   [`Connection`] is closed. The command itself may have happened.
//! - A server that comes back, a master that has changed and a slot that has moved are found again without a restart.
//!
//! It is no place for what must not be lost: Redis acknowledges what its replicas do not have yet.

mod address;
mod calls;
mod config;
mod connection;
mod connector;
mod error;
mod link;
mod pool;
mod request;
mod script;
mod shared;
mod slot;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

pub use ::redis::{Cmd, FromRedisValue, Pipeline, ToRedisArgs, Value, cmd, pipe};
use bb8_redis::bb8::Pool;

pub use self::config::Config;
pub use self::connection::Connection;
pub use self::script::{Call, Script};

use self::calls::{Calls, read};
use self::connector::Connector;
use self::error::leads_elsewhere;
use self::pool::Slots;
use self::request::Request;
use self::shared::Shared;
use crate::db::{Closed, Status};
use crate::error::Error;
use crate::metrics::PoolMetrics;

/// A Redis. Clones share everything.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    connector: Connector,
    shared: Shared,
    /// Gone when it is closed, and the idle connections with it.
    pool: Mutex<Option<Pool<Slots>>>,
    calls: Calls,
    metrics: PoolMetrics,
    waiting: AtomicU64,
    discarded: AtomicU64,
}

impl Inner {
    fn pool(&self) -> Option<Pool<Slots>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Idle connections of the pool, and all of them.
    fn counts(&self) -> (usize, usize) {
        let state = self.pool().map(|pool| pool.state());
        state.map_or((0, 0), |state| (state.idle_connections as usize, state.connections as usize))
    }
}

/// How long those have to leave whose requests were cut.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Redis {
    /// Opens the shared connection.
    ///
    /// # Errors
    /// [`Error::Config`] where the settings can't work, or profile `production` would speak to another machine in the clear;
    /// [`Error::Connect`] where nothing answers.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let connector = Connector::new(config)?;
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| {
            let observed = inner.clone();
            let counts = move || observed.upgrade().map(|inner| inner.counts());
            Inner {
                config: config.clone(),
                connector,
                shared: Shared::default(),
                pool: Mutex::new(Some(pool::pool(config))),
                calls: Calls::default(),
                metrics: PoolMetrics::named(config.pool_name.clone(), counts),
                waiting: AtomicU64::new(0),
                discarded: AtomicU64::new(0),
            }
        });
        inner.shared.get(&inner.connector).await?;
        Ok(Self { inner })
    }

    /// Runs a command on the shared connection.
    ///
    /// Dropping the future drops the answer; the command may have happened.
    ///
    /// # Errors
    /// [`Error::Connect`] where no connection could be opened; [`Error::Command`] where the server refuses, or the answer is
    /// no `T`; [`Error::CommandTimeout`] and [`Error::Unanswered`] where nobody knows whether it has happened;
    /// [`Error::Config`] for a command that waits or changes the connection for all others: those need [`get`](Self::get).
    pub async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let request = Request::Command(command);
        read(self.send(request).await?, &request)
    }

    /// Sends several commands at once on the shared connection, and returns their answers. In a cluster all keys must lie
    /// in one slot.
    ///
    /// # Errors
    /// As of [`command`](Self::command). Unless the pipeline is [`atomic`](Pipeline::atomic), the commands before and behind
    /// a refused one have happened.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Error> {
        let request = Request::Pipeline(pipeline);
        read(self.send(request).await?, &request)
    }

    /// Calls a script on the shared connection. Calls that are made at the same time travel together.
    ///
    /// # Errors
    /// As of [`command`](Self::command), and [`Error::CrossSlot`] where its keys lie on several nodes of a cluster.
    pub async fn script<T: FromRedisValue>(&self, call: &Call) -> Result<T, Error> {
        self.check_slots(call)?;
        let request = Request::Script(call.name(), call.command());
        match self.send(request).await {
            Err(unknown) if unknown.code() == Some("NOSCRIPT") => {
                let with_text = call.with_text();
                let request = Request::Script(call.name(), &with_text);
                read(self.send(request).await?, &request)
            }
            answer => read(answer?, &request),
        }
    }

    /// A connection that nobody else uses.
    ///
    /// # Errors
    /// [`Error::PoolTimeout`] where none became free in time, [`Error::Connect`] where none could be opened,
    /// [`Error::Closed`] after [`close`](Self::close).
    pub async fn get(&self) -> Result<Connection, Error> {
        let (inside, inner) = (self.inner.calls.admit()?, &self.inner);
        let pool = inner.pool().ok_or(Error::Closed)?;
        let asked = Instant::now();
        let mut place = {
            let _waiting = Waiting::new(&inner.waiting);
            let place = pool::place(&pool, &inner.config).await;
            place.inspect_err(|_| inner.metrics.timed_out())?
        };
        inner.metrics.waited(asked.elapsed());
        let rested = match place.take() {
            Some((link, used)) => link.if_alive(used).await,
            None => None,
        };
        let link = match rested {
            Some(link) => link,
            None => inner.connector.open().await?,
        };
        Ok(Connection::new(self.clone(), place, link, inside))
    }

    /// Asks the server for a sign of life, over the shared connection; of a cluster every primary.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), Error> {
        self.command::<Value>(&cmd("PING")).await.map(drop)
    }

    /// What the pool is doing. The shared connection does not count.
    pub fn status(&self) -> Status {
        let (idle, open) = self.inner.counts();
        Status {
            open,
            idle,
            waiting: self.inner.waiting.load(Ordering::Relaxed) as usize,
            discarded: self.inner.discarded.load(Ordering::Relaxed),
        }
    }

    /// Refuses new callers, and waits up to `patience` until those inside have finished. Then it ends their requests, and
    /// reports how many had to be cut.
    pub async fn close(&self, patience: Duration) -> Closed {
        let inner = &self.inner;
        inner.calls.close();
        let mut closed = Closed::default();
        if !inner.calls.quiet_within(patience).await {
            closed.cancelled = inner.calls.cut();
            inner.calls.quiet_within(LAST_WORDS).await;
        }
        inner.shared.close().await;
        inner.pool.lock().unwrap_or_else(PoisonError::into_inner).take();
        closed
    }

    async fn send(&self, request: Request<'_>) -> Result<Value, Error> {
        if let Some(word) = request.needs_own_connection() {
            return Err(Error::Config(format!("`{word}` needs a connection of its own; see `Redis::get`")));
        }
        let inner = &self.inner;
        let _inside = inner.calls.admit()?;
        let (start, deadline) = (Instant::now(), inner.config.command_timeout);
        let late = || Error::Connect { reason: "no connection could be opened in time".to_owned() };
        let opened = tokio::time::timeout(deadline, inner.shared.get(&inner.connector)).await;
        let (mut link, number) = opened.unwrap_or_else(|_| Err(late()))?;
        let answer = inner.calls.send(&mut link, request, deadline.saturating_sub(start.elapsed())).await;
        if answer.as_ref().err().is_some_and(leads_elsewhere) {
            inner.shared.forget(number).await;
        }
        answer
    }

    fn check_slots(&self, call: &Call) -> Result<(), Error> {
        if self.is_cluster() { call.check_slots() } else { Ok(()) }
    }

    /// Whether it is a cluster, in which what happens together must lie in one slot.
    pub fn is_cluster(&self) -> bool {
        self.inner.connector.is_cluster()
    }

    fn config(&self) -> &Config {
        &self.inner.config
    }

    fn calls(&self) -> &Calls {
        &self.inner.calls
    }

    fn metrics(&self) -> &PoolMetrics {
        &self.inner.metrics
    }

    fn count_discarded(&self) {
        self.inner.discarded.fetch_add(1, Ordering::Relaxed);
    }
}

/// A caller who waits for a place, until it is dropped.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({:?})", self.status())
    }
}
