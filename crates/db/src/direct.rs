use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::address::Address;
use crate::config::Config;
use crate::error::{Error, described};

/// A connection outside of the pools, as the login itself; it ends with the value.
pub(crate) struct Direct {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
}

impl Direct {
    pub(crate) async fn open(config: &Config, address: Address, name: &str) -> Result<Self, Error> {
        let Address { mut settings, tls } = address;
        settings.application_name(name);
        let opened = tokio::time::timeout(config.connect_timeout, settings.connect(tls)).await;
        let late = |_| Error::Connect { reason: "the server did not answer in time".to_owned() };
        let (client, connection) =
            opened.map_err(late)?.map_err(|error| Error::Connect { reason: described(&error) })?;
        let driver = tokio::spawn(async move {
            // Its error reaches the client as well.
            let _ = connection.await;
        });
        Ok(Self { client, driver })
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
