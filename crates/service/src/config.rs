use std::net::SocketAddr;
use std::time::Duration;

use shared_core::Config as Schema;
use shared_core::schema::Profile;

/// Where a service listens, and how it ends.
#[derive(Clone, Debug, Schema)]
pub struct Config {
    /// What the service runs for: in `production`, settings of development are refused.
    pub profile: Profile,
    /// Where the public API listens. Port 0 takes a free one.
    #[config(alias = "PORT", default = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where probes and metrics listen: not for the public. Port 0 takes a free one.
    #[config(default = "127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// Whether migrations are applied at start. Off where another program, with the rights of the owner, does it.
    #[config(default = "true")]
    pub migrate: bool,
    /// The largest body of a request, in bytes. 2 MiB hold any form and most documents, and bound what a caller can
    /// make the service hold in memory.
    #[config(default = 2_097_152, min = 1, max = 1_073_741_824)]
    pub body_limit: u32,
    /// Connections at most; beyond, callers wait in the system's queue. 10,000 idle ones take about 200 MB.
    #[config(default = 10_000, min = 1, max = 1_000_000)]
    pub max_connections: u32,
    /// How long a handler may take before its caller is told 503 and its work is dropped. 30 s is where most proxies
    /// give up.
    #[config(default = "30s", min = "1ms", max = "1h")]
    pub request_timeout: Duration,
    /// How long, after the signal to stop, the service still accepts while it says that it is not ready, so that load
    /// balancers notice first. 1 s suits a probe of every 500 ms; raise it for slower ones.
    #[config(default = "1s", max = "5m")]
    pub settle_time: Duration,
    /// How long, after that, requests, jobs and deliveries under way may take to finish. Where the database does not answer, what
    /// comes behind may take 18 s more: with 20 s give Kubernetes a grace period of 45 s, since it kills after 30.
    #[config(default = "20s", max = "1h")]
    pub drain_timeout: Duration,
    /// Jobs that may be ready in a queue before `/health` says that the service falls behind: 10,000 are a minute's work of a
    /// worker with quick jobs. It stays ready, since requests are not what is late.
    #[config(default = 10_000, min = 1)]
    pub queue_depth: u64,
    /// How long the oldest ready job of a queue may have waited before `/health` says so.
    #[config(default = "5m", min = "1s", max = "30d")]
    pub queue_age: Duration,
    /// How long an event may have waited for the consumers before `/health` says so.
    #[config(default = "5m", min = "1s", max = "30d")]
    pub event_age: Duration,
}
