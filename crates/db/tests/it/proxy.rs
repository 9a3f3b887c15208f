//! A wire between client and server on which round trips can be counted, and which can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shared_core::Secret;
use shared_db::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long an answer is on its way: what the client sends meanwhile was not waiting for it.
const DELAY: Duration = Duration::from_millis(15);

pub(crate) struct Proxy {
    wire: Arc<Wire>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Wire {
    trips: AtomicUsize,
    swallows_answers: AtomicBool,
}

impl Proxy {
    /// Puts itself in front of the server of these settings.
    pub(crate) async fn before(config: &mut Config) -> Proxy {
        let settings: tokio_postgres::Config = config.url.expose().parse().unwrap();
        let server = settings.get_ports()[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let url = config.url.expose().replacen(&format!(":{server}/"), &format!(":{own}/"), 1);
        assert_ne!(url, config.url.expose(), "the port is not where it was expected");
        config.url = Secret::new(url);

        let wire = Arc::<Wire>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, wire.clone()));
        Proxy { wire, _tasks: tasks }
    }

    /// How many times the client has sent something after it had an answer, since this was asked last.
    pub(crate) fn trips(&self) -> usize {
        self.wire.trips.swap(0, Ordering::SeqCst)
    }

    /// From now on answers do not arrive; the connection breaks instead.
    pub(crate) fn cut_at_the_next_answer(&self) {
        self.wire.swallows_answers.store(true, Ordering::SeqCst);
    }

    /// Answers arrive again.
    pub(crate) fn mend(&self) {
        self.wire.swallows_answers.store(false, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, server: u16, wire: Arc<Wire>) {
    let mut wires = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let (wire, answered) = (wire.clone(), Arc::new(AtomicBool::new(true)));
        wires.spawn(async move {
            tokio::select! {
                () = requests(from_client, to_server, &wire, &answered) => {}
                () = answers(from_server, to_client, &wire, &answered) => {}
            }
        });
    }
}

async fn requests(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, wire: &Wire, answered: &AtomicBool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = client.read(&mut bytes).await {
        if answered.swap(false, Ordering::SeqCst) {
            wire.trips.fetch_add(1, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, wire: &Wire, answered: &AtomicBool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = server.read(&mut bytes).await {
        tokio::time::sleep(DELAY).await; // time itself is tested: this is how far away the server is
        if wire.swallows_answers.load(Ordering::SeqCst) {
            return;
        }
        answered.store(true, Ordering::SeqCst);
        if client.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
