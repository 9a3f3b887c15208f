//! The servers of a run, its own, and the wires to them.

use std::ops::Deref;
use std::time::Duration;

use shared_core::TenantId;
use shared_db::{Db, bootstrap};
use shared_devkit::{Nats, Postgres, Proxy, Redis, RedisOptions, TestDatabase};
use shared_events::MIGRATIONS;
use tokio_util::task::AbortOnDropHandle;

use super::ledger::{TABLES, now};
use super::plan::{Plan, Way, Wrong};
use super::process::{Role, Spec};

pub(crate) struct Servers {
    postgres: Postgres,
    database: TestDatabase,
    pub redis: Option<Redis>,
    nats: Option<Nats>,
    /// Processes reach their servers through these: the database's is the first.
    pub wires: Vec<Proxy>,
}

/// A session of the superuser, which ends with it.
pub(crate) struct Superuser {
    client: tokio_postgres::Client,
    _connection: AbortOnDropHandle<()>,
}

impl Superuser {
    /// If the server is there.
    pub(crate) async fn open(url: &str) -> Option<Self> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.ok()?;
        let running = tokio::spawn(async { drop(connection.await) });
        Some(Self { client, _connection: AbortOnDropHandle::new(running) })
    }
}

impl Deref for Superuser {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &tokio_postgres::Client {
        &self.client
    }
}

/// A server that may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Database,
    Broker,
}

impl Servers {
    pub(crate) async fn start(way: Way) -> Self {
        let postgres = Postgres::exclusive().await.unwrap();
        let database = postgres.empty_database().await.unwrap();
        bootstrap(&shared_db::Config::new(database.url()), &[MIGRATIONS, TABLES]).await.unwrap();
        // A kill loses everything that it held.
        let forgetful = RedisOptions::new().setting("appendonly", "no");
        let redis = match way {
            Way::Redis => Some(Redis::exclusive_with(forgetful).await.unwrap()),
            _ => None,
        };
        let nats = match way {
            Way::Nats => Some(Nats::exclusive().await.unwrap()),
            _ => None,
        };
        let mut wires = vec![Proxy::to(database.url()).await.unwrap()];
        for url in redis.iter().map(Redis::url).chain(nats.iter().map(Nats::url)) {
            wires.push(Proxy::to(url).await.unwrap());
        }
        Self { postgres, database, redis, nats, wires }
    }

    /// What a process needs to know.
    pub(crate) fn spec(&self, plan: &Plan, role: Role, tenants: &[TenantId]) -> String {
        let broker = |url: &str| self.wires[1].url(url);
        let spec = Spec {
            role,
            database: self.wires[0].url(self.database.url()),
            redis: self.redis.as_ref().map(|redis| broker(redis.url())),
            nats: self.nats.as_ref().map(|nats| broker(nats.url())),
            tenants: tenants.to_vec(),
            keys: plan.keys,
            concurrency: plan.concurrency,
            pace: plan.pace,
            lease: plan.lease,
            poll: plan.poll,
            outside: plan.wrong == Some(Wrong::Outside),
            early: plan.wrong == Some(Wrong::Early),
        };
        serde_json::to_string(&spec).unwrap()
    }

    /// The database without a proxy between.
    pub(crate) async fn db(&self) -> Db {
        Db::connect(&shared_db::Config::new(self.database.url())).await.unwrap()
    }

    pub(crate) fn database_url(&self) -> String {
        self.database.url().to_owned()
    }

    /// Kills a server, and starts it again after this time. Returns when it was killed.
    pub(crate) async fn outage(&mut self, server: Server, time: Duration) -> i64 {
        let killed = now();
        match (server, &mut self.redis, &mut self.nats) {
            (Server::Broker, Some(redis), _) => {
                let url = redis.url().to_owned();
                redis.kill().await.unwrap();
                tokio::time::sleep(time).await; // time itself is planned: it is away
                redis.start().await.unwrap();
                assert_eq!(redis.url(), url, "somebody took the port of the server meanwhile");
            }
            (Server::Broker, _, Some(nats)) => {
                let url = nats.url().to_owned();
                nats.kill().await.unwrap();
                tokio::time::sleep(time).await; // time itself is planned: it is away
                nats.start().await.unwrap();
                assert_eq!(nats.url(), url, "somebody took the port of the server meanwhile");
            }
            _ => {
                self.postgres.kill().await.unwrap();
                tokio::time::sleep(time).await; // time itself is planned: it is away
                self.postgres.start().await.unwrap();
            }
        }
        killed
    }
}
