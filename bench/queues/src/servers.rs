//! The servers, which devkit starts: the same ones for all queues, each queue with a database of its own.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bench_report::cpu;
use shared_devkit::{Postgres, PostgresOptions, Redis, RedisOptions, TestDatabase};

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, Contestant};

/// What a queue is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// That writes nothing to the disk.
    Redis,
    /// That appends to a file and flushes it every second.
    RedisAof,
    Postgres,
}

/// What differs from devkit's own settings of a server with durable commits. Checkpoints are seldom, so that none falls into one
/// queue's round and not into another's.
pub(crate) const POSTGRES: [(&str, &str); 6] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
];

pub(crate) struct Servers {
    redis: Redis,
    aof: Redis,
    postgres: Postgres,
    /// For a queue that needs extensions which the bundled PostgreSQL has not.
    installed: Option<Postgres>,
    databases: HashMap<&'static str, TestDatabase>,
    redis_pid: u32,
    aof_pid: u32,
    postgres_pid: u32,
    installed_pid: u32,
    pub(crate) versions: Vec<String>,
}

impl Servers {
    pub(crate) async fn start(arguments: &Arguments) -> Self {
        let plain = RedisOptions::new().setting("appendonly", "no");
        let redis = Redis::exclusive_with(plain).await.unwrap();
        let every_second =
            RedisOptions::new().setting("appendonly", "yes").setting("appendfsync", "everysec");
        let aof = Redis::exclusive_with(every_second).await.unwrap();
        let postgres = Postgres::exclusive_with(with_settings(PostgresOptions::new())).await.unwrap();
        let installed = PostgresOptions::installed().without_vector();
        let installed = Postgres::exclusive_with(with_settings(installed)).await.ok();
        let mut databases = HashMap::new();
        for contestant in CONTESTANTS.iter().filter(|one| arguments.invites(one)) {
            let server = if contestant.needs_extensions { installed.as_ref() } else { Some(&postgres) };
            if let (Server::Postgres, Some(server)) = (contestant.server, server) {
                databases.insert(contestant.name, server.empty_database().await.unwrap());
            }
        }
        let (postgres_pid, version) = postmaster(postgres.url()).await;
        let mut versions = vec![format!("Redis {}", redis.version()), format!("PostgreSQL {version}")];
        let mut installed_pid = 0;
        if let Some(server) = &installed {
            let (pid, version) = postmaster(server.url()).await;
            installed_pid = pid;
            versions.push(format!("PostgreSQL {version} for the queue that needs the extension hstore"));
        }
        Self {
            redis_pid: redis_process(redis.url()).await,
            aof_pid: redis_process(aof.url()).await,
            redis,
            aof,
            postgres,
            installed,
            databases,
            postgres_pid,
            installed_pid,
            versions,
        }
    }

    /// Where the queue finds its database on this server; nowhere if the machine has no server that it can use.
    pub(crate) fn url(&self, contestant: &Contestant, server: Server) -> Option<String> {
        let place = CONTESTANTS.iter().position(|one| one.name == contestant.name)?;
        let numbered =
            |redis: &Redis| redis.url().strip_suffix("/0").map(|url| format!("{url}/{}", place + 1));
        match server {
            Server::Redis => numbered(&self.redis),
            Server::RedisAof => numbered(&self.aof),
            Server::Postgres => Some(self.databases.get(contestant.name)?.url().to_owned()),
        }
    }

    /// The CPU time that the server has taken until now.
    pub(crate) fn cpu(&self, contestant: &Contestant, server: Server) -> Duration {
        cpu::of_tree(match server {
            Server::Redis => self.redis_pid,
            Server::RedisAof => self.aof_pid,
            Server::Postgres if contestant.needs_extensions => self.installed_pid,
            Server::Postgres => self.postgres_pid,
        })
    }

    /// What the server writes about itself: devkit has it write to a file.
    pub(crate) fn log(&self, contestant: &Contestant) -> PathBuf {
        let pid = if contestant.needs_extensions { self.installed_pid } else { self.postgres_pid };
        fs::read_link(format!("/proc/{pid}/fd/2")).unwrap()
    }

    /// A database number of the Redis that writes nothing to the disk, which no contestant has.
    pub(crate) fn spare(&self) -> String {
        self.redis.url().strip_suffix("/0").map(|url| format!("{url}/{}", CONTESTANTS.len() + 1)).unwrap()
    }

    /// An empty database.
    pub(crate) async fn database(&self) -> TestDatabase {
        self.postgres.empty_database().await.unwrap()
    }

    /// Gives the planner the statistics of a full queue: to all alike.
    pub(crate) async fn analyze(&self, contestant: &Contestant, server: Server) {
        if let (Server::Postgres, Some(url)) = (server, self.url(contestant, server)) {
            session(&url).await.batch_execute("VACUUM ANALYZE").await.unwrap();
        }
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries([&self.postgres]).entries(&self.installed).finish()
    }
}

fn with_settings(options: PostgresOptions) -> PostgresOptions {
    POSTGRES.iter().fold(options, |options, (name, value)| options.setting(name, value))
}

/// A session that ends with its handle.
pub(crate) async fn session(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The server's first process, and its version.
async fn postmaster(url: &str) -> (u32, String) {
    let said = session(url).await;
    let row =
        said.query_one("select pg_backend_pid(), current_setting('server_version')", &[]).await.unwrap();
    let backend = row.get::<_, i32>(0).cast_unsigned();
    (cpu::parent(backend).unwrap(), row.get(1))
}

async fn redis_process(url: &str) -> u32 {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let said: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.unwrap();
    said.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim().parse().unwrap()
}
