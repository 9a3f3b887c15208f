//! A pool that never hands on a connection in doubt.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool as Deadpool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use shared_core::Secret;
use tokio_postgres::NoTls;

use crate::config::Config;
use crate::error::{Error, described};
use crate::reaper::Reaper;

/// Connections of one role.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    deadpool: Deadpool,
    reaper: Reaper,
    timeout: Duration,
}

impl Pool {
    /// Connections that log in with `url`, take on `role`, and begin with these settings.
    pub(crate) fn new(
        config: &Config,
        url: &Secret,
        role: &str,
        begin_with: &[(&str, &str)],
        reaper: Reaper,
    ) -> Result<Self, Error> {
        let mut settings = parse(url)?;
        settings.options(start_options(config, role, begin_with, settings.get_options()));
        settings.application_name(role);
        settings.connect_timeout(config.connect_timeout);
        let manager =
            Manager::from_config(settings, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let deadpool = Deadpool::builder(manager)
            .runtime(Runtime::Tokio1)
            .max_size(config.pool_size as usize)
            .queue_mode(deadpool_postgres::QueueMode::Lifo)
            .wait_timeout(Some(config.pool_timeout))
            .create_timeout(Some(config.connect_timeout))
            .recycle_timeout(Some(config.pool_timeout))
            .build()
            .map_err(|error| Error::Config(error.to_string()))?;
        Ok(Self { deadpool, reaper, timeout: config.pool_timeout })
    }

    /// A connection that nobody else uses.
    pub(crate) async fn get(&self) -> Result<Connection, Error> {
        let object = self.deadpool.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Create) => {
                Error::Connect { reason: "the server did not answer in time".to_owned() }
            }
            PoolError::Timeout(_) => Error::PoolTimeout { waited: self.timeout },
            PoolError::Closed => Error::Closed,
            PoolError::Backend(error) => Error::Connect { reason: described(&error) },
            other => Error::Connect { reason: other.to_string() },
        })?;
        // It was being opened while the pool was closed.
        if self.deadpool.is_closed() {
            return Err(Error::Closed);
        }
        Ok(Connection { object: Some(object), state: State::Settled, reaper: self.reaper.clone() })
    }

    pub(crate) fn status(&self) -> deadpool_postgres::Status {
        self.deadpool.status()
    }

    /// Refuses new callers; connections that are out are closed when they come back.
    pub(crate) fn close(&self) {
        self.deadpool.close();
    }
}

/// A server that is gone without a word, such as after a failover, is noticed within a minute: at rest by keepalives,
/// under a request by the bound on what it may leave unacknowledged.
pub(crate) fn notice_silence(settings: &mut tokio_postgres::Config) {
    settings
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30));
}

/// The settings in a URL, without ever quoting it.
pub(crate) fn parse(url: &Secret) -> Result<tokio_postgres::Config, Error> {
    url.expose().parse().map_err(|_| {
        Error::Config("the URL can't be read; expected postgres://user:password@host/database".to_owned())
    })
}

/// What every session begins with, after what the URL asks for. As start-up options they survive `RESET ALL`.
fn start_options(config: &Config, role: &str, begin_with: &[(&str, &str)], asked: Option<&str>) -> String {
    let option = |name: &str, value: String| format!("-c {name}={value}");
    [
        asked.unwrap_or_default().to_owned(),
        begin_with
            .iter()
            .map(|(name, value)| option(name, (*value).to_owned()))
            .collect::<Vec<_>>()
            .join(" "),
        option("role", role.to_owned()),
        option("statement_timeout", config.statement_timeout.as_millis().to_string()),
        option(
            "idle_in_transaction_session_timeout",
            config.idle_in_transaction_timeout.as_millis().to_string(),
        ),
        // Statements name their schemas; extensions lie in `public`.
        option("search_path", "public".to_owned()),
    ]
    .join(" ")
}

/// A connection on loan. It goes back to the pool only if every request on it was answered and no transaction
/// is open; else it is cancelled on the server and closed.
pub(crate) struct Connection {
    object: Option<Object>,
    state: State,
    reaper: Reaper,
}

/// What is known of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything was answered, and no transaction is open.
    Settled,
    /// Everything was answered, and a transaction is open.
    Open,
    /// A request was sent and not answered, perhaps since its future was dropped.
    Waiting,
}

impl Connection {
    pub(crate) fn client(&self) -> &deadpool_postgres::ClientWrapper {
        match &self.object {
            Some(object) => object,
            None => unreachable!("the object leaves only when the connection is dropped"),
        }
    }

    /// A request goes out. From here until it is answered the connection is in doubt, also if the future is dropped.
    pub(crate) fn asks(&mut self) {
        self.state = State::Waiting;
    }

    /// The request is over, inside a transaction. Without an answer from the server the doubt stays.
    pub(crate) fn answered<T>(&mut self, done: &Result<T, Error>) {
        if done.as_ref().err().is_none_or(Error::is_answer) {
            self.state = State::Open;
        }
    }

    /// The last request was a COMMIT. After a refusal in front of it it acts as a ROLLBACK; either way nothing is open.
    pub(crate) fn ended<T>(&mut self, done: &Result<T, Error>, committed: &Result<(), Error>) {
        let stale = done.as_ref().err().is_some_and(Error::is_stale);
        if committed.as_ref().err().is_none_or(Error::is_answer) && !stale {
            self.state = State::Settled;
        }
    }

    /// Everything was answered, and no transaction is open.
    pub(crate) fn settled(&mut self) {
        self.state = State::Settled;
    }

    /// A request has no answer: nothing can be sent behind it without waiting for its end.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        match self.object.take() {
            // Out of the pool first: the pool may open another at once.
            Some(object) if self.state != State::Settled => self.reaper.bury(Object::take(object)),
            // Dropped here, it goes back.
            _ => {}
        }
    }
}
