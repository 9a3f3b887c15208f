//! Tells relays of other processes that something was committed: by `NOTIFY`, and outside of the transactions that publish.

use std::time::Duration;

use shared_db::{Db, Listener, statements};
use tokio::sync::{Mutex, Notify};
use tokio_util::task::AbortOnDropHandle;

use crate::Error;
use crate::publish::SIGNAL;

/// What relays listen to. Databases have channels of their own.
const CHANNEL: &str = "shared_events";

/// However much a process publishes, it tells of it so often at most. The commit of a NOTIFY takes a lock of the whole server: within
/// the transactions that publish it would let them wait for each other.
const AT_MOST_EVERY: Duration = Duration::from_millis(20);

statements! {
    const TELL: Statement<(), String> = "select pg_notify('shared_events', '')::text";
}

/// Tells relays of other processes what this one commits: at once, and fifty times a second at most. For a program that
/// publishes and runs no relay; a relay with [`Config::notify`](crate::Config::notify) does it for its own process.
///
/// It is a hint: relays find what they are not told by polling. Dropping it ends it.
#[derive(Debug)]
pub struct Notifier {
    _task: AbortOnDropHandle<()>,
}

impl Notifier {
    /// Tells of everything that is committed through this [`Db`] and its clones, in a task of its own.
    pub fn start(db: Db) -> Self {
        Self { _task: AbortOnDropHandle::new(tokio::spawn(async move { tell(&db).await })) }
    }
}

/// Of those who would tell of the same commits, one does.
#[derive(Default)]
struct Turn(Mutex<()>);

/// Tells of what is committed through this database's pools, for as long as it is polled.
pub(crate) async fn tell(db: &Db) {
    let (turn, signal) = (db.extension_or_default::<Turn>(), db.signal(SIGNAL));
    let _mine = turn.0.lock().await;
    let mut committed = Box::pin(signal.clone().notified_owned());
    loop {
        committed.await;
        // What is committed from here on is told next time.
        committed = Box::pin(signal.clone().notified_owned());
        committed.as_mut().enable();
        if let Err(error) = db.system().one(&TELL, ()).await {
            tracing::debug!("relays of other processes were not told, and find it themselves: {error}");
        }
        tokio::time::sleep(AT_MOST_EVERY).await;
    }
}

/// Listens for what other processes tell.
///
/// # Errors
/// [`Error::Database`] if the first connection fails.
pub(crate) async fn listen(db: &Db) -> Result<Listener, Error> {
    Ok(db.listen(&[CHANNEL]).await?)
}

/// Wakes whoever waits at `told` whenever something is heard, or may have been missed.
pub(crate) async fn hear(mut listener: Listener, told: &Notify) {
    loop {
        listener.next().await;
        told.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::{Notify, hear, listen};
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn who_listens_is_woken_by_what_is_told() {
        let fixture = Fixture::new().await;
        let (listener, told) = (listen(&fixture.db).await.unwrap(), Notify::new());
        fixture.run("notify shared_events").await;
        tokio::select! {
            () = hear(listener, &told) => {}
            () = told.notified() => {}
        }
    }
}
