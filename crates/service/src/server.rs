//! An HTTP server whose connections are owned: counted, bounded, and ended with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shared_core::Failure;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::Config;

/// How long a client may take to send the head of a request. It bounds what slow ones can hold.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long to wait when a connection can't be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    /// Ends when every connection has; returns nothing.
    task: JoinHandle<()>,
    open: Arc<Semaphore>,
    most: usize,
}

/// Takes the address; callers wait until it is served.
///
/// # Errors
/// If it is taken, or not of this machine.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::from(error).attempting(format_args!("listening on {address}; is another program there?"))
    })
}

impl Server {
    /// Serves from here on.
    ///
    /// # Errors
    /// If the listener has no address any more.
    pub(crate) fn serve(listener: TcpListener, router: Router, config: &Config) -> Result<Self, Failure> {
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let most = config.max_connections as usize;
        let open = Arc::new(Semaphore::new(most));
        let task = tokio::spawn(accept(listener, router, open.clone(), stop.clone()));
        Ok(Self { address, stop, task, open, most })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets requests under way finish until the deadline, and returns how many connections were cut off.
    pub(crate) async fn stop(&mut self, patience: Duration) -> usize {
        self.stop.cancel();
        if tokio::time::timeout(patience, &mut self.task).await.is_ok() {
            return 0;
        }
        let cut = self.most - self.open.available_permits();
        self.task.abort();
        // Its connections are aborted with it; only then nothing runs any more.
        let _ = (&mut self.task).await;
        cut
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, router: Router, open: Arc<Semaphore>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let room = tokio::select! {
            room = open.clone().acquire_owned() => room,
            () = stop.cancelled() => break,
        };
        let Ok(room) = room else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    serve(stream, peer, router, stop).await;
                    drop(room);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(router)),
        );
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            // The request under way gets its answer, with `connection: close`.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
