use std::future::ready;

use futures_util::future::BoxFuture;
use shared_core::Failure;
use shared_db::redis::{Config, Redis};
use shared_db::{Db, TenantTx};
use shared_events::Publish;
use shared_queues::{OutboxJob, Queues};

use super::carry::JobEnqueued;
use super::{Open, Opened};

/// A Redis for the queues of a service, or none for now. See [`Service::queues_in_redis`](crate::Service::queues_in_redis).
#[derive(Clone, Debug)]
pub struct RedisQueues {
    config: Option<Config>,
    prefix: &'static str,
}

/// Under `queues`, as [`Queues::redis`] has it.
const PREFIX: &str = "queues";

impl RedisQueues {
    /// In this Redis, or for `None` in the database. Programs on one database that name one Redis share its queues.
    pub fn new(config: impl Into<Option<Config>>) -> Self {
        Self { config: config.into(), prefix: PREFIX }
    }

    /// Under keys that begin with this, in place of `queues`: for programs that share a Redis and nothing else. At most 58 letters,
    /// digits, `-`, `_`, `.` or `:`.
    ///
    /// The log of events knows by it which jobs are this program's: keep it when the Redis goes.
    pub fn prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }
}

/// In the Redis that the settings lead to, or, if they lead to none, in the database.
pub(crate) fn in_redis<C>(of: impl FnOnce(&C) -> RedisQueues + Send + 'static) -> Open<C> {
    Box::new(move |settings, db| {
        let RedisQueues { config, prefix } = of(settings);
        let Some(config) = config else {
            // What transactions left in the log while the queues were in Redis is still brought to where they are now.
            let opened = Opened { queues: Queues::postgres(db), carried_as: Some(prefix) };
            return Box::pin(ready(Ok(opened)));
        };
        let db = db.clone();
        Box::pin(async move {
            let redis = Redis::connect(&config).await?;
            let queues = Queues::redis_with_prefix(&redis, prefix)?;
            Ok(Opened { queues: by_log(queues, &db, prefix), carried_as: Some(prefix) })
        })
    })
}

/// The queues, of whose transactions the log now carries the jobs.
fn by_log(queues: Queues, db: &Db, to: &'static str) -> Queues {
    queues.with_outbox(db, move |tx, job| publish(tx, to, job))
}

fn publish<'a>(tx: &'a mut TenantTx, to: &str, job: OutboxJob) -> BoxFuture<'a, Result<(), Failure>> {
    let enqueued = JobEnqueued { key: job.key(), to: to.to_owned(), job };
    Box::pin(async move { Ok(tx.publish(enqueued).await?) })
}
