use std::time::Duration;

use shared_core::{Backoff, Config as Schema};
use validator::Validate;

use crate::sink::Guarantee;

/// How a program reads the log.
#[derive(Clone, Debug, Schema, Validate)]
pub struct Config {
    /// The program's place in the log. Instances of one program share a subscription and take turns; programs with different
    /// consumers need different ones, each of which reads the whole log. A new one begins at the log's start.
    #[config(default = "main")]
    #[validate(length(min = 1, max = 63))]
    pub subscription: String,
    /// How often an idle relay looks for events that other processes committed; those of its own process wake it at once. A
    /// look takes one read and no transaction id: once a second is not measurable on a server, and soon enough for a reader. After it has
    /// found something it looks sooner, since more may follow.
    #[config(default = "1s", min = "10ms", max = "1m")]
    pub poll: Duration,
    /// Whether processes tell each other by `NOTIFY` what they commit, so that nobody waits for a poll. Off, since it costs a connection
    /// that listens and up to fifty small transactions a second while events come. A program that publishes and has
    /// no relay starts a `Notifier`.
    #[config(default = "false")]
    pub notify: bool,
    /// How long another relay waits before it takes the place of one that is gone. It is renewed at a third of this, so 10 s
    /// survive two renewals that are late.
    #[config(default = "10s", min = "300ms", max = "5m")]
    pub lease: Duration,
    /// Events in memory at once, over all lanes. With 8,000 a lane that is behind reads 250 at a time, and the next 250 meanwhile: a
    /// trip is little beside them, and 1 KiB each are some megabytes. Payloads that are larger are bounded by their bytes.
    #[config(default = "8000")]
    #[validate(range(min = 1, max = 50000))]
    pub page: u32,
    /// Events that a relay has seen and its consumers have not done, over all lanes: so many of one tenant may wait without holding up what
    /// others have published behind them. What is beyond a page is known by its place alone, in some eighty bytes, and
    /// read when it is its turn. 100,000 are eight megabytes, or twice that while they grow, and a flood that takes minutes.
    #[config(default = "100000")]
    #[validate(range(min = 1, max = 1000000))]
    pub window: u32,
    /// Transactions of consumers at the same time, each with a connection of the app role. 8 leave two of the pool's ten to requests.
    #[config(default = "8")]
    #[validate(range(min = 1, max = 100))]
    pub concurrency: u32,
    /// Events of one tenant in one transaction of a consumer, at most. A hundred share the cost of a commit, and are few enough
    /// that one which fails costs little when the others are run again without it.
    #[config(default = "100")]
    #[validate(range(min = 1, max = 1000))]
    pub batch: u32,
    /// Attempts at an event before it waits for an operator. Five, with the waits between them, outlast a deadlock or a short
    /// restart of a neighbour. Only the later events of its key wait meanwhile.
    #[config(default = "5")]
    #[validate(range(min = 1, max = 100))]
    pub attempts: u32,
    /// How long an attempt may take before it counts as failed. A consumer only writes rows; 30 s are an age for that.
    #[config(default = "30s", min = "10ms", max = "10m")]
    pub attempt_timeout: Duration,
    /// The longest wait before the first retry; it doubles with each further one, and the wait is drawn from zero to it.
    #[config(default = "100ms", min = "1ms", max = "10s")]
    pub retry_first: Duration,
    /// The longest wait before any retry, also where the consumer asks for a longer one.
    #[config(default = "5s", min = "1ms", max = "1h")]
    pub retry_longest: Duration,
    /// What is promised of the events at a sink. A sink that can't give it is refused at the start, so less has to be asked
    /// for by name.
    #[config(default = "exact")]
    pub guarantee: Guarantee,
    /// How long the log is kept, in whole days: a day is dropped when it is as old as that, every subscription has passed it, and
    /// nothing of it is parked. A week is time to notice that a consumer was wrong, and to replay.
    #[config(default = "7d", min = "1h", max = "3650d")]
    pub retention: Duration,
    /// How far behind the slowest subscription the places of events are kept, so that what a broker has lost can be sent again: as
    /// long as a broker may need to come back from its last save.
    #[config(default = "15m", min = "1s", max = "1d")]
    pub rewind: Duration,
}

impl Config {
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.retry_first, self.retry_longest)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            subscription: "main".to_owned(),
            poll: Duration::from_secs(1),
            notify: false,
            lease: Duration::from_secs(10),
            page: 8000,
            window: 100_000,
            concurrency: 8,
            batch: 100,
            attempts: 5,
            attempt_timeout: Duration::from_secs(30),
            retry_first: Duration::from_millis(100),
            retry_longest: Duration::from_secs(5),
            guarantee: Guarantee::Exact,
            retention: Duration::from_hours(7 * 24),
            rewind: Duration::from_mins(15),
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
