use std::time::Duration;

use shared_core::Config as Schema;
use validator::{Validate, ValidationError};

/// How a worker works. Every default is safe.
#[derive(Clone, Debug, PartialEq, Eq, Schema, Validate)]
#[validate(schema(function = "lease_outlives_beats"))]
pub struct Config {
    /// Jobs that run at once. 16 keep two cores and a pool of ten connections busy with jobs that wait for databases
    /// and networks; raise it for jobs that mostly wait.
    #[config(default = "16")]
    #[validate(range(min = 1, max = 10_000))]
    pub concurrency: u32,
    /// Jobs that are claimed in one round trip at most, and that may lie here unstarted. Quick jobs are taken ahead, slow
    /// ones are left to other workers. Beyond 50 a claim becomes hardly cheaper per job.
    #[config(default = "50")]
    #[validate(range(min = 1, max = 1000))]
    pub batch: u32,
    /// How often an idle worker looks for jobs of which nobody told it, for delayed ones that are due, and a busy one for jobs
    /// that are to be cancelled. Four probes of an index a second cost nothing, and a quarter of a second is not noticed.
    #[config(default = "250ms", min = "1ms", max = "1m")]
    pub poll: Duration,
    /// How often a worker says that it lives, and looks after those that don't. Its other chores follow from it: schedules every
    /// fifth of a beat (1 s), the figures of its queues every three (15 s), tidying up every twelve (1 m).
    #[config(default = "5s", min = "10ms", max = "5m")]
    pub beat: Duration,
    /// How long the jobs of a silent worker stay its own: three beats, so that one that is lost does no harm. A killed
    /// worker's jobs run again within a lease and a beat.
    #[config(default = "15s", min = "30ms", max = "15m")]
    pub lease: Duration,
    /// Workers that may die while they hold a job, before the job is taken for the cause and becomes a dead letter. Jobs
    /// that are held together are counted together, so one death says little, and three say much.
    #[config(default = "3")]
    #[validate(range(min = 1, max = 100))]
    pub crash_budget: u32,
    /// How long a handler whose job somebody cancels may still take to come to an end by itself: enough to save where it is,
    /// and not so long that whoever cancelled it doubts that it worked.
    #[config(default = "5s", min = "1ms", max = "10m")]
    pub cancel_grace: Duration,
    /// How long dead letters are kept: a month, so that nobody has to come back from holidays for them.
    #[config(default = "30d", min = "1m", max = "3650d")]
    pub keep_dead: Duration,
    /// Dead letters that a queue keeps at most; the oldest go first. With payloads of some hundred bytes these are some tens
    /// of megabytes.
    #[config(default = "100000")]
    #[validate(range(min = 1, max = 10_000_000))]
    pub most_dead: u32,
    /// Completed and cancelled jobs that a queue remembers at most, whatever they say of `keep`; those that were to be forgotten
    /// first go first. At some hundred bytes each these are some hundreds of megabytes, and the results of those that have one come on
    /// top: a bound for the server, far beyond what is looked at. Ten million are counted in about a second, once a minute.
    #[config(default = "1000000")]
    #[validate(range(min = 1, max = 10_000_000))]
    pub most_kept: u32,
    /// How long the effects that handlers recorded are kept in the database; longer than any of their jobs is tried again.
    #[config(default = "30d", min = "1h", max = "3650d")]
    pub keep_effects: Duration,
    /// Tenants that have figures of their own among the metrics; the others, and by default all, are counted together. Each
    /// tenant is a series in every store of metrics, so there must be a bound.
    #[config(default = "0")]
    #[validate(range(max = 1000))]
    pub metered_tenants: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 16,
            batch: 50,
            poll: Duration::from_millis(250),
            beat: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            crash_budget: 3,
            cancel_grace: Duration::from_secs(5),
            keep_dead: DAY * 30,
            most_dead: 100_000,
            most_kept: 1_000_000,
            keep_effects: DAY * 30,
            metered_tenants: 0,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn lease_outlives_beats(config: &Config) -> Result<(), ValidationError> {
    if config.lease >= config.beat * 2 {
        return Ok(());
    }
    Err(ValidationError::new("lease").with_message("the lease must be at least two beats".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_core::schema::from_pairs;

    #[test]
    fn the_defaults_are_those_of_the_schema() {
        assert_eq!(from_pairs::<Config>([("", "")]).unwrap(), Config::default());
    }

    #[test]
    fn a_lease_shorter_than_two_beats_is_refused() {
        let config = Config { lease: Duration::from_secs(9), ..Config::default() };
        assert!(config.validate().is_err());
    }
}
