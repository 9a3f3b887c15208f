use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The clients that end: whoever had one does not wait for it.
static ENDING: LazyLock<Mutex<JoinSet<()>>> = LazyLock::new(Mutex::default);

/// Ends a client, on a thread for that.
pub(super) fn end(runtime: &Handle, client: impl FnOnce() + Send + 'static) {
    let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    while ending.try_join_next().is_some() {}
    ending.spawn_blocking_on(client, runtime);
}

/// A client whose end takes some time, such as to leave its group: it ends on a thread for that, and not on one that others need.
pub(crate) struct Client<T: Send + Sync + 'static> {
    client: Arc<T>,
    /// Says that its own hold on the client is gone, by being dropped behind it.
    _held: oneshot::Sender<()>,
    gone: Option<oneshot::Receiver<()>>,
}

impl<T: Send + Sync + 'static> Client<T> {
    pub(crate) fn new(client: T) -> Self {
        let (held, gone) = oneshot::channel();
        Self { client: Arc::new(client), _held: held, gone: Some(gone) }
    }

    /// For a question on another thread.
    pub(crate) fn share(&self) -> Arc<T> {
        Arc::clone(&self.client)
    }
}

impl<T: Send + Sync + 'static> Deref for Client<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

impl<T: Send + Sync + 'static> Drop for Client<T> {
    fn drop(&mut self) {
        if let (Some(gone), Ok(runtime)) = (self.gone.take(), Handle::try_current()) {
            let last = self.share();
            end(&runtime, move || {
                let _ = gone.blocking_recv();
                drop(last);
            });
        }
    }
}
