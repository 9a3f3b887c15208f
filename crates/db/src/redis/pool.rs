//! Connections of one's own, over bb8.

use std::convert::Infallible;
use std::time::Instant;

use bb8_redis::bb8::{ManageConnection, Pool, PooledConnection, QueueStrategy, RunError};

use super::config::Config;
use super::link::Link;
use crate::error::Error;

/// bb8 counts, queues and ages; connections are opened by those who need them, who are told at once what is wrong. (Left
/// to bb8, a server that is down looks like a pool without a free connection, and only after the pool's time-out. And
/// the manager that bb8-redis brings does not notice a broken connection, and knows no sentinels.)
pub(super) struct Slots;

/// A place for a connection. It is put there only when it is clean, so a place that is left empty is thrown away.
#[derive(Default)]
pub(super) struct Slot(Option<(Link, Instant)>);

impl Slot {
    /// The connection that lies here, and since when.
    pub(super) fn take(&mut self) -> Option<(Link, Instant)> {
        self.0.take()
    }

    /// Lays a clean connection down.
    pub(super) fn put(&mut self, link: Link) {
        self.0 = Some((link, Instant::now()));
    }
}

impl ManageConnection for Slots {
    type Connection = Slot;
    type Error = Infallible;

    async fn connect(&self) -> Result<Slot, Infallible> {
        Ok(Slot::default())
    }

    async fn is_valid(&self, _: &mut Slot) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, slot: &mut Slot) -> bool {
        slot.0.is_none()
    }
}

/// The last used one first, so that those that are not needed are idle and end.
pub(super) fn pool(config: &Config) -> Pool<Slots> {
    Pool::builder()
        .max_size(config.pool_size)
        .connection_timeout(config.pool_timeout)
        .max_lifetime(config.pool_lifetime)
        .idle_timeout(config.pool_idle)
        .queue_strategy(QueueStrategy::Lifo)
        .test_on_check_out(false)
        .build_unchecked(Slots)
}

/// A place that nobody else uses.
pub(super) async fn place(
    pool: &Pool<Slots>,
    config: &Config,
) -> Result<PooledConnection<'static, Slots>, Error> {
    pool.get_owned().await.map_err(|error| match error {
        RunError::User(never) => match never {},
        RunError::TimedOut => Error::PoolTimeout { waited: config.pool_timeout },
    })
}
