//! The connections that a pool has opened, so that they can be ended when the pool closes.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use deadpool_postgres::{ClientWrapper, Hook, HookError, StatementCache};
use futures_util::{StreamExt, stream};
use tokio_postgres::CancelToken;

use crate::address::Address;
use crate::config::Config;

/// Requests to cancel that are under way at once.
const AT_ONCE: usize = 64;

/// One connection that may still be open.
struct Opened {
    /// `None` behind a pooler, whose server processes serve others as well.
    pid: Option<i32>,
    cancel: CancelToken,
    /// Gone with the connection.
    alive: Weak<StatementCache>,
}

/// All of them. Those that are gone are forgotten when another is opened, so there are about as many as in the pool.
#[derive(Clone, Default)]
pub(super) struct Open(Arc<Mutex<Vec<Opened>>>);

impl Open {
    /// Remembers each connection that the pool opens.
    pub(super) fn hook(&self, config: &Config) -> Hook {
        let (open, pooler, patience) = (self.clone(), config.pooler, config.connect_timeout);
        Hook::async_fn(move |client, _| {
            let open = open.clone();
            Box::pin(async move {
                let pid = match pooler {
                    true => None,
                    // The pool's own time-out for opening a connection does not reach this far.
                    false => match tokio::time::timeout(patience, pid(client)).await {
                        Ok(pid) => Some(pid.map_err(HookError::Backend)?),
                        Err(_) => return Err(HookError::message("the server did not answer in time")),
                    },
                };
                let alive = Arc::downgrade(&client.statement_cache);
                let opened = Opened { pid, cancel: client.cancel_token(), alive };
                let mut all = open.0.lock().unwrap_or_else(PoisonError::into_inner);
                all.retain(|opened| opened.alive.strong_count() > 0);
                all.push(opened);
                Ok(())
            })
        })
    }

    /// Cancels whatever runs on them. Each request is a connection of its own, with several trips where it is encrypted; one after
    /// the other, those to a server far away would not be over in time.
    pub(super) async fn cancel(&self, address: &Address) {
        let cancel = async |(_, cancel): (Option<i32>, CancelToken)| {
            // One that can't be cancelled is terminated next.
            let _ = cancel.cancel_query(address.tls.clone()).await;
        };
        stream::iter(self.alive()).for_each_concurrent(AT_ONCE, cancel).await;
    }

    /// Ends them on the server, by way of a connection of its own. Returns how many there were.
    pub(super) async fn terminate(&self, address: &Address) -> usize {
        let pids: Vec<i32> = self.alive().into_iter().filter_map(|(pid, _)| pid).collect();
        let Ok((client, connection)) = address.settings.connect(address.tls.clone()).await else {
            return 0;
        };
        let terminate = async {
            // Only those of this pool's own login can be ended; the server refuses the rest.
            let sql = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = ANY($1)";
            client.query_one(sql, &[&pids]).await.map(|row| row.get::<_, i64>(0))
        };
        let ended = tokio::select! {
            ended = terminate => ended,
            _ = connection => Ok(0),
        };
        ended.map_or(0, |count| usize::try_from(count).unwrap_or(0))
    }

    fn alive(&self) -> Vec<(Option<i32>, CancelToken)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = all.iter().filter(|opened| opened.alive.strong_count() > 0);
        alive.map(|opened| (opened.pid, opened.cancel.clone())).collect()
    }
}

async fn pid(client: &ClientWrapper) -> Result<i32, tokio_postgres::Error> {
    client.query_one("SELECT pg_backend_pid()", &[]).await.map(|row| row.get(0))
}
