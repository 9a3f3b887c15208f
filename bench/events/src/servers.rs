//! The servers, which devkit starts: the same ones for everybody; each with a database and a number of Redis of its own.

use shared_devkit::{Postgres, PostgresOptions, Redis, RedisOptions, TestDatabase};

/// What differs from devkit's own settings of a server with durable commits. Checkpoints are seldom, so that none falls into one
/// side's round and not into the other's.
pub(crate) const POSTGRES: [(&str, &str); 7] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("max_connections", "300"),
];

pub(crate) struct Servers {
    pub(crate) postgres: Postgres,
    redis: Redis,
}

/// One side's own part of them.
pub(crate) struct Place {
    pub(crate) database: TestDatabase,
    pub(crate) redis: String,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let options = POSTGRES
            .iter()
            .fold(PostgresOptions::new(), |options, (name, value)| options.setting(name, value));
        let postgres = Postgres::exclusive_with(options).await.unwrap();
        // Nothing is written to the disk, so that what is compared is the relays.
        let plain = RedisOptions::new().setting("appendonly", "no").setting("databases", 16);
        let redis = Redis::exclusive_with(plain).await.unwrap();
        Self { postgres, redis }
    }

    /// An empty database, and this number of the Redis.
    pub(crate) async fn place(&self, number: u32) -> Place {
        let redis = self.redis.url().strip_suffix("/0").map(|url| format!("{url}/{number}")).unwrap();
        Place { database: self.postgres.empty_database().await.unwrap(), redis }
    }

    pub(crate) async fn print(&self) {
        let session = session(self.postgres.url()).await;
        let version: String =
            session.query_one("select current_setting('server_version')", &[]).await.unwrap().get(0);
        println!("PostgreSQL {version}, Redis {} without persistence", self.redis.version());
        println!("PostgreSQL: {}", POSTGRES.map(|(name, value)| format!("{name} = {value}")).join(", "));
    }
}

/// A session of the superuser, which ends with its handle.
pub(crate) async fn session(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
