//! The connection that everybody shares.

use std::time::Instant;

use tokio::sync::Mutex;

use super::connector::Connector;
use super::link::Link;
use crate::error::Error;

/// Opened when it is needed, by one for all. Nothing runs in the background.
#[derive(Default)]
pub(super) struct Shared(Mutex<Option<Current>>);

struct Current {
    link: Link,
    opened: Instant,
    used: Instant,
}

impl Shared {
    /// The connection, and which one it is.
    pub(super) async fn get(&self, connector: &Connector) -> Result<(Link, Instant), Error> {
        // Who waits here is served by the one that opens, or opens when that has given up.
        let mut current = self.0.lock().await;
        let (link, opened) = match current.take() {
            Some(old) => (old.link.if_alive(old.used).await, old.opened),
            None => (None, Instant::now()),
        };
        let (link, opened) = match link {
            Some(link) => (link, opened),
            None => (connector.open().await?, Instant::now()),
        };
        *current = Some(Current { link: link.clone(), opened, used: Instant::now() });
        Ok((link, opened))
    }

    /// The next one opens another connection. Requests that are under way on this one stay with it.
    pub(super) async fn forget(&self, opened: Instant) {
        let mut current = self.0.lock().await;
        if current.as_ref().is_some_and(|current| current.opened == opened) {
            *current = None;
        }
    }

    /// Closes it as soon as the last request on it is over.
    pub(super) async fn close(&self) {
        *self.0.lock().await = None;
    }
}
