use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use shared_core::schema::Profile;
use shared_core::{Config as Schema, Failure, Secret};

/// How a program reaches NATS.
#[derive(Clone, Debug, Schema)]
pub struct NatsConfig {
    /// What the program runs for: `production` speaks to NATS with TLS only.
    pub profile: Profile,
    /// Where NATS is: `nats://user:password@host:4222`, or `nats://token@host`, and `tls://` for TLS. Of a cluster some of its servers,
    /// separated by commas; they tell of the others, and the login is that of the first.
    #[config(env = "NATS_URL", url("nats", "tls"), hint = "set it, or run `shared-devkit up nats`")]
    pub urls: Vec<Secret>,
    /// How long opening a connection may take. 5 s covers a server under load, and fails before a probe does.
    #[config(default = "5s", min = "1ms")]
    pub connect_timeout: Duration,
    /// How long an answer may take. 5 s outlast the election of another leader.
    #[config(default = "5s", min = "1ms")]
    pub request_timeout: Duration,
}

impl NatsConfig {
    /// Everything at its default, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            profile: Profile::Development,
            urls: vec![Secret::new(url)],
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
        }
    }

    pub(super) async fn connect(&self, program: &str) -> Result<Context, Failure> {
        let servers: Result<Vec<ServerAddr>, _> = self.urls.iter().map(|url| url.expose().parse()).collect();
        // Not the parser's own words, which may quote a password.
        let servers = servers.map_err(|_| Failure::dead("an address of NATS can't be read"))?;
        let options = servers.first().map_or_else(ConnectOptions::new, login);
        let client = options
            .name(program)
            .require_tls(self.profile == Profile::Production)
            .connection_timeout(self.connect_timeout)
            .request_timeout(Some(self.request_timeout))
            .connect(servers)
            .await
            .map_err(|error| Failure::from(error).attempting("connecting to NATS"))?;
        Ok(jetstream::new(client))
    }
}

/// What the address says of who is coming: a user with a password, a token, or nothing. The client reads only where it is.
fn login(server: &ServerAddr) -> ConnectOptions {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (server.username().map(plain), server.password().map(plain)) {
        (Some(user), Some(password)) => ConnectOptions::with_user_and_password(user, password),
        (Some(token), None) => ConnectOptions::with_token(token),
        (None, _) => ConnectOptions::new(),
    }
}
