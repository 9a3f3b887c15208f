use std::time::Duration;

/// How the keys of another issuer are kept up to date.
#[derive(Clone, Debug, PartialEq, Eq, shared_core::Config)]
#[non_exhaustive]
pub struct JwksConfig {
    /// How often the document is fetched, whether or not anybody asks: a key that was withdrawn is believed that long at
    /// most. 5 minutes is what issuers commonly allow it to be kept.
    #[config(default = "5m", min = "10s", max = "1d")]
    pub refresh: Duration,
    /// After a token with an unknown key has caused a fetch, how long no other one does.
    #[config(default = "30s", min = "1s", max = "1h")]
    pub cool_down: Duration,
    /// How long keys are believed while the issuer does not answer, beside the time-out of a fetch under way. Then every
    /// token of it is refused. One hour: an outage that people notice and mend.
    #[config(default = "1h", min = "1m", max = "7d")]
    pub max_stale: Duration,
    /// How long the issuer has to answer, from connecting to the last byte.
    #[config(default = "5s", min = "100ms", max = "1m")]
    pub timeout: Duration,
}

impl Default for JwksConfig {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(300),
            cool_down: Duration::from_secs(30),
            max_stale: Duration::from_secs(3600),
            timeout: Duration::from_secs(5),
        }
    }
}
