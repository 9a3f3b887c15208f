//! Opens connections to whatever the settings lead to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisError, RedisResult, cmd};
use shared_core::schema::Profile;
use tokio::time::timeout;

use super::address::{certificates, moved, parse, parse_safe, refuse_clear};
use super::config::Config;
use super::error::unreachable;
use super::link::Link;
use crate::error::Error;

pub(super) struct Connector {
    target: Target,
    patience: Duration,
}

enum Target {
    Server(Client),
    Sentinels(Sentinels),
    Cluster(Box<ClusterClient>),
}

impl Connector {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let target = if config.cluster {
            Target::Cluster(Box::new(cluster(config)?))
        } else if config.sentinels.is_empty() {
            Target::Server(client(parse_safe(config, &config.urls[0])?)?)
        } else {
            Target::Sentinels(Sentinels::new(config)?)
        };
        Ok(Self { target, patience: config.connect_timeout })
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }

    /// A connection that has logged in.
    pub(super) async fn open(&self) -> Result<Link, Error> {
        let opening = async {
            match &self.target {
                Target::Server(client) => {
                    Ok(Link::Server(connect(client).await.map_err(|error| unreachable(&error))?))
                }
                Target::Sentinels(sentinels) => Ok(Link::Server(sentinels.connect(self.patience).await?)),
                Target::Cluster(client) => {
                    let connection = client.get_async_connection().await;
                    Ok(Link::Cluster(connection.map_err(|error| unreachable(&error))?))
                }
            }
        };
        let late = || Err(Error::Connect { reason: "the server did not answer in time".to_owned() });
        timeout(self.patience, opening).await.unwrap_or_else(|_| late())
    }
}

fn client(settings: ConnectionInfo) -> Result<Client, Error> {
    Client::open(settings).map_err(|_| Error::Config("the URL of Redis can't be used".to_owned()))
}

/// The deadlines are ours: those of the driver would also end commands that are to wait.
async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let settings = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&settings).await
}

fn cluster(config: &Config) -> Result<ClusterClient, Error> {
    let nodes = config.urls.iter().map(|url| parse_safe(config, url)).collect::<Result<Vec<_>, _>>()?;
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(config.connect_timeout)
        // The driver would send again what may have happened already.
        .retries(0);
    let encrypted = config
        .urls
        .iter()
        .all(|url| url.expose().starts_with("rediss:") || url.expose().starts_with("valkeys:"));
    if let (true, Some(certificates)) = (encrypted, certificates(config)?) {
        builder = builder.certs(certificates);
    }
    builder.build().map_err(|_| {
        Error::Config(
            "the URLs of the cluster can't be used together; user, password and scheme must be the same"
                .to_owned(),
        )
    })
}

/// Those who know which server is the master.
struct Sentinels {
    clients: Vec<Client>,
    master: String,
    /// How to log in at the master.
    server: ConnectionInfo,
    profile: Profile,
    /// The one that has answered last: the first one may have been dead for days.
    last: AtomicUsize,
}

impl Sentinels {
    fn new(config: &Config) -> Result<Self, Error> {
        let clients = config.sentinels.iter().map(|url| client(parse_safe(config, url)?));
        Ok(Self {
            clients: clients.collect::<Result<_, _>>()?,
            master: config.master.clone(),
            // The host in it does not count; that of the master is looked at when it is known.
            server: parse(config, &config.urls[0])?,
            profile: config.profile,
            last: AtomicUsize::new(0),
        })
    }

    /// Asks one after the other, until one leads to a server that says itself that it is the master.
    async fn connect(&self, patience: Duration) -> Result<MultiplexedConnection, Error> {
        let (count, first) = (self.clients.len(), self.last.load(Ordering::Relaxed));
        let mut failed = None;
        for number in (0..count).map(|step| (first + step) % count) {
            // A share for each, so that a dead one leaves time for the others.
            match timeout(patience / count as u32, self.connect_by(&self.clients[number])).await {
                Ok(Ok(connection)) => {
                    self.last.store(number, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Err(refused @ Error::Config(_))) => return Err(refused),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => {}
            }
        }
        let silent = || Error::Connect { reason: "no sentinel answered in time".to_owned() };
        Err(failed.unwrap_or_else(silent))
    }

    async fn connect_by(&self, sentinel: &Client) -> Result<MultiplexedConnection, Error> {
        let unreachable = |error: RedisError| unreachable(&error);
        let not_there = |reason: &str| Error::Connect { reason: reason.to_owned() };
        let mut asked = connect(sentinel).await.map_err(unreachable)?;
        let question = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master).to_owned();
        let place: Option<(String, u16)> = question.query_async(&mut asked).await.map_err(unreachable)?;
        let (host, port) = place.ok_or_else(|| not_there("the sentinels know no master of that name"))?;
        let address = moved(self.server.addr(), host, port);
        refuse_clear(self.profile, &address)?;
        let mut connection =
            connect(&client(self.server.clone().set_addr(address))?).await.map_err(unreachable)?;
        let (role, ..): (String, redis::Value, redis::Value) =
            cmd("ROLE").query_async(&mut connection).await.map_err(unreachable)?;
        match role.as_str() {
            "master" => Ok(connection),
            _ => Err(not_there("the sentinels name a server that is not the master yet")),
        }
    }
}
