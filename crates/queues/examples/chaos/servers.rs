//! The servers of a run, its own, and the wires to them.

use std::time::Duration;

use shared_db::{Db, bootstrap};
use shared_devkit::{Postgres, PostgresOptions, Proxy, Redis, RedisOptions, TestDatabase};
use shared_queues::{Limit, MIGRATIONS, Queues};

use super::appended::{Appended, make_anew};
use super::faults::Outage;
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

    /// Kills the server that has the queues, and starts it again after this time.
    pub(crate) async fn outage(&mut self, time: Duration) -> Outage {
        let Some(redis) = &mut self.redis else {
            let down = now();
            self.postgres.kill().await.unwrap();
            tokio::time::sleep(time).await;
            self.postgres.start().await.unwrap();
            return Outage { forgotten_since: None, down, up: now() };
        };
        let url = redis.url().to_owned();
        let (forgotten_since, torn) = match self.place {
            // A kill loses what waits to be written, which may be two seconds on a slow disk: here it is that of a moment.
            Place::Redis(Aof::EverySecond) => (Some(Appended::now(&url).await.since), 0),
            Place::Redis(Aof::Torn) => {
                let before = Appended::now(&url).await;
                tokio::time::sleep(TORN).await;
                (Some(before.since), Appended::now(&url).await.bytes - before.bytes)
            }
            Place::Redis(Aof::None) => (Some(0), 0),
            Place::Redis(Aof::Always) | Place::Postgres => (None, 0),
        };
        let down = now();
        redis.kill().await.unwrap();
        if torn > 0 {
            redis.truncate(torn).await.unwrap();
        }
        tokio::time::sleep(time).await;
        redis.start().await.unwrap();
        assert_eq!(redis.url(), url, "somebody took the port of the server meanwhile");
        if torn > 0 {
            make_anew(&url).await;
        }
        Outage { forgotten_since, down, up: now() }
    }
}

/// Redis as it is often set up, but for snapshots: there are none.
fn keeping(aof: Aof) -> RedisOptions {
    let options = RedisOptions::new();
    match aof {
        Aof::Always => options.setting("appendfsync", "always"),
        Aof::EverySecond => options.setting("appendfsync", "everysec"),
        // What was appended is only known of a file that is not made anew meanwhile.
        Aof::Torn => options.setting("appendfsync", "everysec").setting("auto-aof-rewrite-percentage", "0"),
        Aof::None => options.setting("appendonly", "no"),
    }
}

/// Sets the limits that the jobs name.
pub(crate) async fn set_limits(queues: &Queues) -> Result<(), shared_queues::Error> {
    queues.set_limit("chaos-shared", None, Some(Limit::concurrency(SHARED))).await?;
    queues.set_limit("chaos-host", None, Some(Limit::concurrency(PER_HOST))).await?;
    queues.set_limit("chaos-paced", None, Some(Limit::rate(PACE, Duration::from_secs(1)))).await
}
