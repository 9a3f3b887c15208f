//! Servers and sentinels in a directory, each in a directory of its own.

use std::process::Command;

use crate::{
    Error, cache,
    redis::{
        nodes::{Nodes, connect, pid_files},
        options::RedisOptions,
        server::{PID_FILE, Role, Server},
    },
    site::{Site, wait_until},
    software::Software,
};

/// Which of them is the master changes.
pub(super) const SERVERS: usize = 2;
/// Fewer could not outvote one.
const SENTINELS: usize = 3;
pub(super) const MASTER: &str = "mymaster";

/// All five.
#[derive(Debug)]
pub(super) struct Set;

/// The servers first.
pub(super) fn nodes(site: &Site) -> Nodes {
    Nodes::of(site, SERVERS + SENTINELS)
}

pub(super) fn url(node: &Site) -> Result<String, Error> {
    server().url(node)
}

/// A sentinel has no databases.
pub(super) fn sentinel_url(node: &Site) -> Result<String, Error> {
    Ok(url(node)?.trim_end_matches("/0").to_owned())
}

fn server() -> Server {
    Server::new(Role::Exclusive, RedisOptions::new())
}

impl Software for Set {
    fn name(&self) -> &'static str {
        "redis-sentinels"
    }

    fn pid_files(&self) -> &'static [&'static str] {
        pid_files(SERVERS + SENTINELS)
    }

    fn stop_signal(&self, keep_data: bool) -> &'static str {
        server().stop_signal(keep_data)
    }

    fn is_running(&self, site: &Site) -> bool {
        nodes(site).all().iter().all(|node| node.is_ready(PID_FILE))
    }

    fn ensure_running(&self, site: &Site) -> Result<(), Error> {
        let nodes = nodes(site);
        let (servers, sentinels) = nodes.all().split_at(SERVERS);
        let installation = server().installation(&servers[0])?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let start = |node: &Site, role, options| {
            cache::private(&node.directory, &node.account)?;
            node.write("password", &password)?;
            Server::new(role, options).start(node, &installation)
        };
        start(&servers[0], Role::Exclusive, following(&password))?;
        let master = servers[0].port().unwrap_or_default();
        let replica = following(&password).setting("replicaof", format!("127.0.0.1 {master}"));
        start(&servers[1], Role::Exclusive, replica)?;
        for sentinel in sentinels {
            start(sentinel, Role::Sentinel, watching(master, &password))?;
        }
        wait_until(|| sentinels.iter().all(knows_all)).then_some(()).ok_or_else(|| {
            site.failed("form", "the sentinels have not found each other after a minute".to_owned())
        })
    }

    fn url(&self, site: &Site) -> Result<String, Error> {
        url(&nodes(site).all()[0])
    }

    fn terminal(&self, site: &Site) -> Result<Command, Error> {
        server().terminal(&nodes(site).all()[0])
    }
}

/// Each server may become the other's replica.
fn following(password: &str) -> RedisOptions {
    RedisOptions::new().setting("masterauth", password).setting("repl-diskless-sync-delay", 0)
}

fn watching(master: u16, password: &str) -> RedisOptions {
    [
        format!("monitor {MASTER} 127.0.0.1 {master} 2"),
        format!("auth-pass {MASTER} {password}"),
        format!("down-after-milliseconds {MASTER} 1000"),
        // The second attempt, where the first has failed, comes after twice as long.
        format!("failover-timeout {MASTER} 5000"),
        format!("sentinel-pass {password}"),
    ]
    .into_iter()
    .fold(RedisOptions::new(), |options, line| options.setting("sentinel", line))
}

/// Whether a sentinel has heard of the replica and of the other sentinels.
fn knows_all(sentinel: &Site) -> bool {
    let said = connect(sentinel).and_then(|mut sentinel| sentinel.text(&["INFO", "sentinel"]));
    said.is_ok_and(|said| said.contains(&format!("slaves={},sentinels={SENTINELS}", SERVERS - 1)))
}
