//! A connection on loan, and what is known of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{ClientWrapper, Object};
use opentelemetry::KeyValue;

use super::Pool;
use crate::describe::{Described, describe};
use crate::error::Error;
use crate::operation::Operation;
use crate::statement::Text;

/// The driver's client of a connection on loan.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    client: &'a ClientWrapper,
    patience: Option<Duration>,
    namespace: &'a KeyValue,
}

impl Client<'_> {
    /// A statement is sent.
    pub(crate) fn operation(&self, statement: &'static str) -> Operation {
        Operation::begin(statement, self.namespace)
    }

    /// Waits for an answer, but not for ever: a server that hangs keeps its connections open.
    pub(crate) async fn answer<T>(
        &self,
        name: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let answered = match self.patience {
            Some(patience) => match tokio::time::timeout(patience, answer).await {
                Ok(answered) => answered,
                Err(_) => return Err(Error::silence(name, patience)),
            },
            None => answer.await,
        };
        answered.map_err(|error| Error::statement(name, &error))
    }
}

impl std::ops::Deref for Client<'_> {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.client
    }
}

/// A connection on loan. It goes back to the pool only if every request on it was answered and no transaction
/// is open; else it is cancelled on the server and closed.
pub(crate) struct Connection {
    object: Option<Object>,
    state: State,
    /// It is closed when it comes back, however well it is.
    spent: bool,
    pool: Pool,
    lent: Instant,
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
    pub(super) fn new(object: Object, pool: Pool, lent: Instant) -> Self {
        Self { object: Some(object), state: State::Settled, spent: false, pool, lent }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Behind a pooler: asks what a statement takes, inside the transaction that is open.
    pub(crate) async fn describe(&mut self, text: &Text<'_>) -> Result<Arc<Described>, Error> {
        // Until it is known to be needed no more.
        let spent = std::mem::replace(&mut self.spent, true);
        let described = Arc::new(describe(self.client(), text).await?);
        self.spent = spent || described.has_spent_the_driver();
        self.pool.remember(text, &described);
        Ok(described)
    }

    pub(crate) fn client(&self) -> Client<'_> {
        match &self.object {
            Some(object) => {
                let pool = &self.pool.0;
                Client { client: object, patience: pool.patience, namespace: &pool.namespace }
            }
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
        self.pool.0.metrics.used(self.lent.elapsed());
        match self.object.take() {
            // Out of the pool first: the pool may open another at once.
            Some(object) if self.state != State::Settled => self.pool.bury(Object::take(object)),
            Some(object) if self.spent => drop(Object::take(object)),
            // Dropped here, it goes back.
            _ => {}
        }
    }
}
