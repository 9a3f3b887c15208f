use std::time::Duration;

use crate::Algorithm;
#[cfg(feature = "postgres")]
use crate::{Error, jwks};

/// How long others may not know a new key: they keep the document for its time, and look again after theirs.
#[cfg(feature = "postgres")]
const NOTICE: Duration = Duration::from_secs(2 * jwks::MAX_AGE.as_secs());

/// How the keys of a key ring come and go.
#[derive(Clone, Debug, PartialEq, Eq, shared_core::Config)]
#[non_exhaustive]
pub struct KeyRingConfig {
    /// What new keys sign with: EdDSA, ES256 or RS256. After a change the keys of the old one go on until their turn is over.
    #[config(default = "EdDSA")]
    pub algorithm: Algorithm,
    /// How long a key signs. 30 days: often enough that rotation is known to work, and seldom enough to be no burden.
    #[config(default = "30d", min = "1h", max = "365d")]
    pub rotate_every: Duration,
    /// How long a key is published at least before it signs, so that everybody knows it then. At least 10 minutes: that long
    /// others may take to look again.
    #[config(default = "1h", min = "10m", max = "7d")]
    pub publish_ahead: Duration,
    /// How long a key verifies after it has stopped signing: the life of the longest token, and the leeway.
    #[config(default = "15m", min = "1m", max = "2d")]
    pub verify_for: Duration,
    /// How often an instance looks for changes that it was not told of. One second: a look is one small statement.
    #[config(default = "1s", min = "100ms", max = "1m")]
    pub poll: Duration,
}

impl Default for KeyRingConfig {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            algorithm: Algorithm::EdDsa,
            rotate_every: minutes(30 * 24 * 60),
            publish_ahead: minutes(60),
            verify_for: minutes(15),
            poll: Duration::from_secs(1),
        }
    }
}

#[cfg(feature = "postgres")]
impl KeyRingConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mistakes = [
            (self.algorithm == Algorithm::Hs256, "a secret can't be published; choose EdDSA, ES256 or RS256"),
            (self.publish_ahead < NOTICE, "keys must be published at least 10 minutes before they sign"),
            (
                self.rotate_every < self.publish_ahead,
                "a key must sign at least as long as its successor is published ahead",
            ),
            (self.poll.is_zero(), "it must pause between looks"),
        ];
        match mistakes.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, reason)) => Err(Error::KeyRing { reason }),
            None => Ok(()),
        }
    }
}
