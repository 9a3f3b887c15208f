//! Ends what a dropped future left behind: cancels the query on the server, then closes the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::sync::Semaphore;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

/// Cancellations under way at once. A cancel request is a connection of its own, so a storm of dropped futures
/// must not open thousands. Those that wait are open connections, which the server's own limit bounds.
const AT_ONCE: usize = 64;

/// How long a connection has to answer before its query is cancelled, and cancelled again. A transaction that was
/// merely open is rolled back well within it, and costs no cancel request; a request that comes between two
/// statements of a pipeline hits neither, so one is not enough.
const GRACE: Duration = Duration::from_millis(10);

/// A connection that takes longer to come to rest is given up: it is closed, which is then all that can be done.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Reaper {
    tasks: TaskTracker,
    room: Arc<Semaphore>,
    buried: Arc<AtomicU64>,
}

impl Reaper {
    pub(crate) fn new() -> Self {
        Self { tasks: TaskTracker::new(), room: Arc::new(Semaphore::new(AT_ONCE)), buried: Arc::default() }
    }

    /// Takes over a connection whose state nobody knows. Without the means to cancel what runs there it is only closed.
    pub(crate) fn bury(&self, client: ClientWrapper, cancel_with: Option<MakeRustlsConnect>) {
        self.buried.fetch_add(1, Ordering::Relaxed);
        let Some(tls) = cancel_with else { return };
        // Without a runtime it is closed, and the server notices at its next write.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let room = self.room.clone();
        self.tasks.spawn_on(
            async move {
                let _room = room.acquire_owned().await;
                let _ = tokio::time::timeout(PATIENCE, end(&client, tls)).await;
            },
            &runtime,
        );
    }

    /// Connections that were closed since nobody knew their state.
    pub(crate) fn buried(&self) -> u64 {
        self.buried.load(Ordering::Relaxed)
    }

    /// Waits until every cancellation that was begun is over.
    pub(crate) async fn stop(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Returns when nothing runs any more on the connection.
async fn end(client: &ClientWrapper, tls: MakeRustlsConnect) {
    let cancel = client.cancel_token();
    let cancelling = async {
        loop {
            tokio::time::sleep(GRACE).await;
            let _ = cancel.cancel_query(tls.clone()).await;
        }
    };
    tokio::select! {
        // It stands behind everything that was sent: when it is answered, that is over, one way or another.
        _ = client.batch_execute("ROLLBACK") => {}
        () = cancelling => {}
    }
}
