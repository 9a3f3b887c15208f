use std::time::Duration;

use shared_core::schema::Profile;
use shared_core::{Config as Schema, Secret};
use validator::Validate;

use crate::error::Error;

/// How a program reaches its Redis: one server, a [cluster](Self::cluster), or the master of a set that
/// [sentinels](Self::sentinels) watch.
#[derive(Clone, Debug, Schema, Validate)]
pub struct Config {
    /// What the program runs for: `production` refuses to speak to another machine in the clear.
    pub profile: Profile,
    /// Where Redis is: `redis://user:password@host:6379/0`, and `rediss://` for TLS, with certificate and name
    /// verified. Of a cluster some of its nodes, separated by commas; they tell of the others.
    #[config(
        env = "REDIS_URL",
        url("redis", "rediss", "valkey", "valkeys"),
        hint = "set it, or run `shared-devkit up redis`"
    )]
    pub urls: Vec<Secret>,
    /// Whether the URLs lead to a Redis Cluster.
    #[config(env = "REDIS_CLUSTER", default = "false")]
    pub cluster: bool,
    /// The sentinels that know the master, separated by commas. The URL then says how to log in there, and its host
    /// and port do not count.
    #[config(env = "REDIS_SENTINELS", default = "", url("redis", "rediss", "valkey", "valkeys"))]
    pub sentinels: Vec<Secret>,
    /// The name by which the sentinels know the master. `mymaster` is that of Redis's own example.
    #[config(env = "REDIS_MASTER", default = "mymaster")]
    pub master: String,
    /// The authorities whose certificates the server may show, as PEM. Default: those of the system.
    #[config(env = "REDIS_CA_CERTIFICATE", expected = "certificates as PEM")]
    pub ca_certificate: Option<String>,
    /// Connections at most that [`Redis::get`](super::Redis::get) hands out. Nearly everything goes over the shared one:
    /// 10 serve a program with as many waiting workers.
    #[config(default = "10")]
    #[validate(range(min = 1, max = 1000))]
    pub pool_size: u32,
    /// How long a caller waits for one of them before it is told that none is free. 5 s is longer than any
    /// healthy queue, and shorter than the patience of a caller.
    #[config(default = "5s", min = "1ms")]
    pub pool_timeout: Duration,
    /// The name of the pool in metrics.
    #[config(default = "redis")]
    pub pool_name: String,
    /// How long one of them lives at most. 30 minutes: after a failover or a move the load finds its balance again.
    #[config(default = "30m", min = "1s")]
    pub pool_lifetime: Duration,
    /// How long one of them may lie unused. 10 minutes outlive the pauses of a working day's traffic.
    #[config(default = "10m", min = "1s")]
    pub pool_idle: Duration,
    /// How long opening a connection may take, the question to the sentinels included. 5 s covers a server under load,
    /// and fails before a probe does.
    #[config(default = "5s", min = "1ms")]
    pub connect_timeout: Duration,
    /// How long a command, a pipeline or a script may take until its answer is there. Redis answers in far less than
    /// a millisecond; 5 s outlast a slow command of a neighbour, and most failovers.
    #[config(default = "5s", min = "1ms")]
    pub command_timeout: Duration,
}

impl Config {
    /// Everything at its default, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            profile: Profile::Development,
            urls: vec![Secret::new(url)],
            cluster: false,
            sentinels: Vec::new(),
            master: "mymaster".to_owned(),
            ca_certificate: None,
            pool_size: 10,
            pool_timeout: Duration::from_secs(5),
            pool_name: "redis".to_owned(),
            pool_lifetime: Duration::from_secs(30 * 60),
            pool_idle: Duration::from_secs(10 * 60),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
        }
    }

    /// What a reader of the environment has checked already, for those that were written by hand.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refused = |reason: &str| Err(Error::Config(reason.to_owned()));
        if self.pool_size == 0
            || self.pool_timeout.is_zero()
            || self.pool_lifetime.is_zero()
            || self.pool_idle.is_zero()
        {
            return refused("the size and the times of the Redis pool must be more than zero");
        }
        match self.urls.len() {
            _ if self.cluster && !self.sentinels.is_empty() => {
                refused("a Redis Cluster has no sentinels; set one of the two")
            }
            0 => refused("there is no URL of Redis"),
            2.. if !self.cluster => refused("there are several URLs of Redis; only a cluster has them"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared_core::schema::from_pairs;

    use super::*;

    #[test]
    fn one_url_is_enough_and_what_is_not_said_is_the_default() {
        let read: Option<Config> = from_pairs([("REDIS_URL", "redis://h")]).ok();
        let said =
            |config: &Config| format!("{:?}", Config { profile: Profile::Production, ..config.clone() });
        assert_eq!(read.as_ref().map(said), Some(said(&Config::new("redis://h"))));
        assert!(from_pairs::<Config>([]).is_err());
        assert!(from_pairs::<Config>([("REDIS_URL", "postgres://h")]).is_err());
    }

    #[test]
    fn clusters_and_sentinels_have_several() {
        let read = |pairs: &[(&str, &str)]| from_pairs::<Config>(pairs.iter().copied()).ok();
        let cluster = read(&[("REDIS_URL", "redis://a, redis://b"), ("REDIS_CLUSTER", "true")]);
        assert!(cluster.is_some_and(|config| config.urls.len() == 2 && config.check().is_ok()));
        let sentinels = read(&[("REDIS_URL", "redis://:p@any"), ("REDIS_SENTINELS", "redis://a,redis://b")]);
        assert!(sentinels.is_some_and(|config| config.sentinels.len() == 2 && config.check().is_ok()));
        let both =
            read(&[("REDIS_URL", "redis://a"), ("REDIS_SENTINELS", "redis://b"), ("REDIS_CLUSTER", "true")]);
        assert!(both.is_some_and(|config| config.check().is_err()));
    }
}
