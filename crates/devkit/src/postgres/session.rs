//! One connection, and the task that drives it.

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::Error;

/// A connection that ends, with everything that the server held for it, when it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    /// Connects without TLS, which the bundled server does not have.
    pub(crate) async fn connect(url: &str) -> Result<Session, Error> {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.map_err(Error::database("connect to the server"))?;
        // What ends the connection also fails the statement that waits for it, which reports it.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Session { client, driver })
    }

    /// Runs statements that return nothing.
    pub(crate) async fn run(&self, attempted: &'static str, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(Error::database(attempted))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
