use std::time::Duration;

/// What a [`Collector`](crate::Collector) does to requests instead of taking them. Of those that it does not take it
/// keeps nothing but the [`Request`](super::Request).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Answers 503 with `Retry-After`, in whole seconds, rounded up: exporters are to try again after that.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// Answers 429 with `Retry-After`, in whole seconds, rounded up: exporters are to try again after that.
    TooManyRequests {
        /// When to try again.
        retry_after: Duration,
    },
    /// Answers with this status, or with 500 if it is none. Exporters are to try again after 429, 502, 503 and 504 only.
    Status(u16),
    /// Takes all but the last `rejected` items of each request, and says so in a successful answer. Exporters are to
    /// report them and not to try again.
    PartialSuccess {
        /// How many spans, points of metrics or log records are not kept; all of them if there are fewer.
        rejected: usize,
        /// What the answer says about it.
        message: String,
    },
    /// Reads the request and never answers; the connection stays open.
    Hang,
    /// Reads the request and closes the connection without an answer.
    Close,
}
