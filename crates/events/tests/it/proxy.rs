//! A proxy that holds back each answer of the server for a moment, and counts how often it let answers through: what a client
//! sent without waiting is answered in one go, so the count is that of the round trips.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_postgres::config::Host;

/// Longer than the server needs to answer what it has got, also on a busy machine.
const HELD_BACK: Duration = Duration::from_millis(40);

pub(crate) struct Proxy {
    url: String,
    trips: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(url: &str) -> Self {
        let server: tokio_postgres::Config = url.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let password = String::from_utf8(server.get_password().unwrap_or_default().to_vec()).unwrap();
        let (user, name) = (server.get_user().unwrap(), server.get_dbname().unwrap());
        let url = format!("host=127.0.0.1 port={port} user='{user}' password='{password}' dbname='{name}'");
        let trips = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, server, Arc::clone(&trips)));
        Self { url, trips, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The round trips that `work` takes.
    pub(crate) async fn trips(&self, work: impl Future<Output = ()>) -> usize {
        let before = self.trips.load(Ordering::SeqCst);
        work.await;
        self.trips.load(Ordering::SeqCst) - before
    }
}

async fn serve(listener: TcpListener, server: tokio_postgres::Config, trips: Arc<AtomicUsize>) {
    let mut sessions = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        let port = server.get_ports().first().copied().unwrap_or(5432);
        let trips = Arc::clone(&trips);
        match server.get_hosts()[0].clone() {
            Host::Tcp(host) => {
                let upstream = TcpStream::connect((host.as_str(), port)).await.unwrap();
                sessions.spawn(session(client, upstream, trips));
            }
            Host::Unix(directory) => {
                let upstream = UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await.unwrap();
                sessions.spawn(session(client, upstream, trips));
            }
        }
    }
}

async fn session(client: TcpStream, server: impl AsyncRead + AsyncWrite, trips: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let there = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let back = async {
        let mut answers = vec![0; 1024 * 1024];
        while let Ok(mut filled @ 1..) = from_server.read(&mut answers).await {
            // Everything that arrives in the meantime answers what was sent in the same go.
            let more = async {
                while let Ok(more @ 1..) = from_server.read(&mut answers[filled..]).await {
                    filled += more;
                }
            };
            let _ = tokio::time::timeout(HELD_BACK, more).await;
            trips.fetch_add(1, Ordering::SeqCst);
            if to_client.write_all(&answers[..filled]).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(there, back);
}
