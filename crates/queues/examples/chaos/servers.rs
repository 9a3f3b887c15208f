//! The servers of a run, its own, and the wires to them.

use std::time::Duration;

use shared_db::redis::cmd;
use shared_db::{Db, bootstrap};
use shared_devkit::{Postgres, PostgresOptions, Proxy, Redis, RedisOptions, TestDatabase};
use shared_queues::{Limit, MIGRATIONS, Queues};

use super::ledger::{EFFECTS, now};
use super::plan::{Aof, PACE, PER_HOST, Place, Plan, SHARED, TORN, Wrong};
use super::worker::Spec;

pub(crate) struct Servers {
    place: Place,
    postgres: Postgres,
    database: TestDatabase,
    redis: Option<Redis>,
    /// Workers reach their servers through these.
    pub wires: Vec<Proxy>,
}

impl Servers {
    pub(crate) async fn start(place: Place) -> Self {
        let settings = PostgresOptions::new().setting("track_commit_timestamp", "on");
        let postgres = Postgres::exclusive_with(settings).await.unwrap();
        let database = postgres.empty_database().await.unwrap();
        bootstrap(&shared_db::Config::new(database.url()), &[MIGRATIONS, EFFECTS]).await.unwrap();
        let redis = match place {
            Place::Postgres => None,
            Place::Redis(aof) => Some(Redis::exclusive_with(keeping(aof)).await.unwrap()),
        };
        let mut wires = vec![Proxy::to(database.url()).await.unwrap()];
        if let Some(redis) = &redis {
            wires.push(Proxy::to(redis.url()).await.unwrap());
        }
        Self { place, postgres, database, redis, wires }
    }

    /// What a worker needs.
    pub(crate) fn spec(&self, plan: &Plan) -> String {
        let redis = self.redis.as_ref().map(|redis| self.wires[1].url(redis.url()));
        let spec = Spec {
            database: self.wires[0].url(self.database.url()),
            redis,
            concurrency: plan.concurrency,
            beat: plan.beat,
            lease: plan.lease,
            crash_budget: plan.crash_budget,
            unfenced: plan.wrong == Some(Wrong::Unfenced),
        };
        serde_json::to_string(&spec).unwrap()
    }

    /// The queues without a proxy between.
    pub(crate) async fn queues(&self) -> (Db, Queues) {
        let db = Db::connect(&shared_db::Config::new(self.database.url())).await.unwrap();
        let queues = match &self.redis {
            None => Queues::postgres(&db),
            Some(redis) => {
                let config = shared_db::redis::Config::new(redis.url());
                Queues::redis(&shared_db::redis::Redis::connect(&config).await.unwrap())
            }
        };
        (db, queues)
    }

    /// Kills the server that has the queues, and starts it again after this time. Returns when it was killed.
    pub(crate) async fn outage(&mut self, time: Duration) -> i64 {
        let torn = match self.place {
            Place::Redis(Aof::Torn) => self.written_within(TORN).await,
            _ => 0,
        };
        let killed = now();
        match &mut self.redis {
            None => {
                self.postgres.kill().await.unwrap();
                tokio::time::sleep(time).await;
                self.postgres.start().await.unwrap();
            }
            Some(redis) => {
                let url = redis.url().to_owned();
                redis.kill().await.unwrap();
                if torn > 0 {
                    redis.truncate(torn).await.unwrap();
                }
                tokio::time::sleep(time).await;
                redis.start().await.unwrap();
                assert_eq!(redis.url(), url, "somebody took the port of the server meanwhile");
            }
        }
        killed
    }

    /// How many bytes Redis writes from now on in this time.
    async fn written_within(&self, time: Duration) -> u64 {
        let before = self.written().await;
        tokio::time::sleep(time).await;
        self.written().await - before
    }

    /// The length of Redis's file.
    async fn written(&self) -> u64 {
        let url = self.redis.as_ref().map(Redis::url).unwrap_or_default();
        let redis = shared_db::redis::Redis::connect(&shared_db::redis::Config::new(url)).await.unwrap();
        let info: String = redis.command(cmd("INFO").arg("persistence")).await.unwrap();
        let size = info.lines().find_map(|line| line.strip_prefix("aof_current_size:"));
        size.and_then(|size| size.trim().parse().ok()).unwrap()
    }
}

/// Redis as it is often set up, but for snapshots: there are none.
fn keeping(aof: Aof) -> RedisOptions {
    match aof {
        Aof::Always => RedisOptions::new().setting("appendfsync", "always"),
        Aof::EverySecond | Aof::Torn => RedisOptions::new().setting("appendfsync", "everysec"),
        Aof::None => RedisOptions::new().setting("appendonly", "no"),
    }
}

/// Sets the limits that the jobs name.
pub(crate) async fn set_limits(queues: &Queues) -> Result<(), shared_queues::Error> {
    queues.set_limit("chaos-shared", None, Some(Limit::concurrency(SHARED))).await?;
    queues.set_limit("chaos-host", None, Some(Limit::concurrency(PER_HOST))).await?;
    queues.set_limit("chaos-paced", None, Some(Limit::rate(PACE, Duration::from_secs(1)))).await
}
