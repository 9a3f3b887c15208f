//! A child process that uses a server of any kind in any way.

use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    process::Child,
};

use shared_devkit::{Error, Nats, NatsOptions, Postgres, PostgresOptions, Redis, RedisOptions};

use crate::{
    child::say,
    sandbox::{Sandbox, kill, process_id, wait_until},
};

/// The role of such a child begins with it.
pub(crate) const ROLE: &str = "any user: ";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Redis,
    Nats,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Postgres, Kind::Redis, Kind::Nats];

impl Kind {
    /// Its name in directories.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Redis => "redis",
            Kind::Nats => "nats",
        }
    }

    /// How a user finds his way out when there is no server.
    pub(crate) fn remedies(self) -> [&'static str; 3] {
        match self {
            Kind::Postgres => ["set DATABASE_URL", "install PostgreSQL", "pip"],
            Kind::Redis => ["set REDIS_URL", "install redis-server", "pip"],
            Kind::Nats => ["set NATS_URL", "install nats-server", "pip"],
        }
    }

    /// The file below a server's directory that it writes its id to.
    pub(crate) fn pid_file(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            Kind::Postgres => "data/postmaster.pid",
            Kind::Redis => "pid",
            Kind::Nats => "nats.pid",
        })
    }

    /// The main process of the server in a directory.
    pub(crate) fn process(self, directory: &Path) -> i32 {
        process_id(&self.pid_file(directory))
    }

    /// The role of a child that takes a server in this way: `shared`, `named`, `exclusive`, or `bundled`, which is an
    /// exclusive one that is never the installed one.
    pub(crate) fn role(self, how: &str) -> String {
        format!("{ROLE}{} {how}", self.name())
    }
}

/// The port that the server in a directory listens on.
pub(crate) fn port(directory: &Path) -> u16 {
    fs::read_to_string(directory.join("port")).expect("a port").trim().parse().expect("a port")
}

/// The one server in the sandbox's temporary directory.
pub(crate) fn only_server(sandbox: &Sandbox) -> PathBuf {
    let mut servers = sandbox.servers();
    assert_eq!(servers.len(), 1, "{servers:?}");
    servers.remove(0)
}

/// Kills users, and waits until their shared and exclusive servers are gone.
pub(crate) fn end(sandbox: &Sandbox, users: impl IntoIterator<Item = Child>) {
    users.into_iter().for_each(kill);
    wait_until("the servers are gone", || sandbox.servers().is_empty());
}

/// What such a child does: says its server's URL, and is a user until the end of its input.
pub(crate) async fn play(role: &str) {
    match role {
        "postgres shared" => stay(Postgres::shared().await, |server| server.url().to_owned()),
        "postgres named" => stay(Postgres::named("test").await, |server| server.url().to_owned()),
        "postgres exclusive" => stay(Postgres::exclusive().await, |server| server.url().to_owned()),
        "postgres bundled" => {
            let server = Postgres::exclusive_with(PostgresOptions::bundled()).await;
            stay(server, |server| server.url().to_owned());
        }
        "postgres template" => template().await,
        "redis shared" => stay(Redis::shared().await, |server| server.url().to_owned()),
        "redis named" => stay(Redis::named("test").await, |server| server.url().to_owned()),
        "redis bundled" => {
            let server = Redis::exclusive_with(RedisOptions::bundled()).await;
            stay(server, |server| server.url().to_owned());
        }
        "redis exclusive" => stay(Redis::exclusive().await, |server| server.url().to_owned()),
        "nats shared" => stay(Nats::shared().await, |server| server.url().to_owned()),
        "nats named" => stay(Nats::named("test").await, |server| server.url().to_owned()),
        "nats bundled" => {
            let server = Nats::exclusive_with(NatsOptions::bundled()).await;
            stay(server, |server| server.url().to_owned());
        }
        "nats exclusive" => stay(Nats::exclusive().await, |server| server.url().to_owned()),
        other => unreachable!("no such role: {other}"),
    }
}

fn stay<T>(server: Result<T, Error>, url: impl FnOnce(&T) -> String) {
    say(server.as_ref().map(url));
    if server.is_ok() {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    }
}

/// Migrates as the file `migration.sql` in the working directory says.
async fn template() {
    let migration = fs::read_to_string("migration.sql").expect("a migration");
    let server = Postgres::shared().await.expect("a server");
    let migrate = async |url: String| crate::database::connect(&url).await.batch_execute(&migration).await;
    let database = server.database(&migration, migrate).await;
    stay(database, |database| format!("{} {}", server.url(), database.url()));
}

/// A program that does not depend on where the tests were built: this test binary, where everybody can run it.
pub(crate) fn portable(sandbox: &Sandbox) -> PathBuf {
    let (here, there) = (env::current_exe().expect("this test binary"), sandbox.temporary().join("it"));
    if fs::hard_link(&here, &there).is_err() {
        fs::copy(&here, &there).expect("a copy");
    }
    there
}
