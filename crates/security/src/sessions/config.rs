use std::time::Duration;

use shared_core::Config as Schema;

use crate::Error;

/// 30 s: a retry comes within seconds; whoever has stolen a token has no more time than that to go unnoticed.
const LONGEST_GRACE: Duration = Duration::from_secs(30);

/// How long sessions live.
#[derive(Clone, Debug, Schema)]
pub struct SessionConfig {
    /// A session ends when it was not refreshed for this long. 7 days: a user who comes once a week stays logged in.
    #[config(default = "7d", min = "1m", max = "400d")]
    pub idle: Duration,
    /// A session ends this long after its login, whatever happens. 30 days, as NIST SP 800-63B allows for its first level.
    #[config(default = "30d", min = "1m", max = "400d")]
    pub absolute: Duration,
    /// How long a refresh token that was used already still yields the same successor: for a client that lost the answer,
    /// or that asked twice at once. 10 s outlast a retry.
    #[config(default = "10s", max = "30s")]
    pub grace: Duration,
    /// Sessions that a user has at most; another login ends the one that was idle for longest. 50 are more devices than
    /// people have.
    #[config(default = "50", min = "1", max = "1000")]
    pub per_subject: u32,
}

impl SessionConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let what = match () {
            () if self.grace > LONGEST_GRACE => "the grace window is 30 seconds at most",
            () if self.idle.is_zero() || self.absolute.is_zero() => "sessions need a time to live",
            () if self.per_subject == 0 => "a user needs room for one session",
            () => return Ok(()),
        };
        Err(Error::OutOfRange { what })
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { idle: 7 * DAY, absolute: 30 * DAY, grace: Duration::from_secs(10), per_subject: 50 }
    }
}
