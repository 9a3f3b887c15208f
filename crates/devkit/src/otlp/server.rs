//! Connections and requests.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::Fault;
use super::answer::{MOST_BYTES, Refusal, outcome};
use super::received::{Received, Request};

/// More than the programs of a test keep open; a bound, so that a mistake does not take all files of the process.
const MOST_CONNECTIONS: usize = 256;
/// When no connection can be taken, such as without free files, to try at once would keep a processor busy.
const BREATH: Duration = Duration::from_millis(20);

/// What the collector and its connections share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) received: watch::Sender<Received>,
    /// And how many requests it is for, unless for all.
    fault: Mutex<Option<(Fault, Option<u32>)>>,
}

impl Shared {
    pub(super) fn set_fault(&self, fault: Option<(Fault, Option<u32>)>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// The fault of this request.
    fn take_fault(&self) -> Option<Fault> {
        let mut present = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, left) = present.take()?;
        let left = left.map(|left| left - 1);
        if left != Some(0) {
            *present = Some((fault.clone(), left));
        }
        Some(fault)
    }
}

/// Takes connections until its owner is gone. Their tasks end with it.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut gone: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut gone => break,
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, Arc::clone(&shared))); }
                Err(_) => tokio::time::sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    // A client that breaks off, or that a fault breaks off from, is no concern of the collector.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error closes the connection.
async fn answer(
    request: hyper::Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MOST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Refusal(413, format!("more than {MOST_BYTES} bytes")))
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    let bytes = body.as_ref().map_or(0, Bytes::len);
    let fault = shared.take_fault();
    let outcome = outcome(&head, body, fault.as_ref());
    // First it can be seen, then the client has its answer.
    let status = outcome.response.as_ref().map(|response| response.status().as_u16());
    let request = noted(&head, bytes, status);
    shared.received.send_modify(|received| received.add(request, outcome.items, outcome.rejected));
    match (outcome.response, fault) {
        (Some(response), _) => Ok(response),
        (None, Some(Fault::Hang)) => pending().await,
        (None, _) => Err(io::Error::other("closed on purpose")),
    }
}

fn noted(head: &Parts, bytes: usize, status: Option<u16>) -> Request {
    let headers = head.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Request { path: head.uri.path().to_owned(), headers: headers.collect(), bytes, status }
}
