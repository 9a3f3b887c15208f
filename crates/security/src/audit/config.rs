use std::time::Duration;

use shared_core::Config as Schema;

/// How the audit log is written and sealed.
#[derive(Clone, Debug, Schema)]
pub struct Config {
    /// Events that wait for the writer at most. 8,192 are some seconds of denials under attack while the database restarts, and a few
    /// MB of memory.
    #[config(default = "8192", min = "1", max = "1000000")]
    pub buffer: u32,
    /// How long a durable recording may take before its caller is told that it failed. 5 s are a failover's worth, and less than a
    /// request's time-out.
    #[config(default = "5s", min = "10ms", max = "1m")]
    pub durable_within: Duration,
    /// How long the writer may take at the end to write what it has. 5 s, of the ten that a service usually has to stop.
    #[config(default = "5s", min = "10ms", max = "5m")]
    pub flush_within: Duration,
    /// How often the sealer looks for new entries. 500 ms keep an entry unsealed for well under a second; each look that finds some
    /// makes one seal a tenant. A third of the lease, where that is shorter.
    #[config(default = "500ms", min = "10ms", max = "1m")]
    pub seal_every: Duration,
    /// How long another sealer waits before it takes the place of one that is gone. Every seal renews it.
    #[config(default = "5s", min = "300ms", max = "5m")]
    pub lease: Duration,
    /// How long entries are kept; after it they go in whole batches, and their seals stay. 400 days: a year, which PCI DSS asks for,
    /// and a month to look back on it.
    #[config(default = "400d", min = "1d", max = "36500d")]
    pub keep: Duration,
    /// How often what is over is removed, and the ends of the chains are told to the program's log. 1 hour: so much of the log could the
    /// database's owner make anew unseen, and removing what is over can wait as long.
    #[config(default = "1h", min = "1s", max = "1d")]
    pub upkeep_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buffer: 8192,
            durable_within: Duration::from_secs(5),
            flush_within: Duration::from_secs(5),
            seal_every: Duration::from_millis(500),
            lease: Duration::from_secs(5),
            keep: Duration::from_secs(400 * 24 * 60 * 60),
            upkeep_every: Duration::from_secs(60 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let read: Config = shared_core::schema::from_pairs([]).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", Config::default()));
    }
}
