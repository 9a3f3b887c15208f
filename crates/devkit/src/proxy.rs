//! A wire between a client and a server that can be cut, slowed down and watched.

mod address;
mod connection;
mod counters;
mod faults;
mod socket;
mod timer;
#[cfg(feature = "tls")]
mod tls;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::Error;
use address::Target;
pub use counters::{Counters, Traffic};
use faults::{Faults, Limit, Link, Then, Way};
use socket::reset;
#[cfg(feature = "tls")]
pub use tls::Tls;

/// More connections than any pool of a test opens. Who comes then is refused, so that a runaway client ends as a failure.
const MOST_CONNECTIONS: usize = 1024;

/// How long [`Proxy::until`] waits: longer than a busy machine needs, shorter than the limit of a test run.
const UNTIL: Duration = Duration::from_secs(60);

/// A TCP proxy in front of a server, on a free port of 127.0.0.1, which does to the connections what networks do.
///
/// ```no_run
/// use std::time::Duration;
/// use shared_devkit::{Postgres, Proxy};
///
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let server = Postgres::shared().await?;
/// let proxy = Proxy::to(server.url()).await?;
/// let url = proxy.url(server.url()); // what the program under test connects to
///
/// proxy.to_client().delay(Duration::from_millis(40)); // answers are slow
/// proxy.to_client().cut_after(100); // and end in the middle of one
/// proxy.until(|counters| counters.cut > 0).await?;
/// proxy.heal();
/// # Ok(())
/// # }
/// ```
///
/// # Faults
/// Each is switched in a moment, for the connections that are open and those to come.
///
/// | fault | what the client sees | counted as |
/// |---|---|---|
/// | [`cut`](Proxy::cut) | every connection closes | `cut` |
/// | [`reset`](Proxy::reset) | every connection is reset (RST) | `resets` |
/// | [`refuse`](Proxy::refuse) | new connections are reset at once | `refused` |
/// | [`black_hole`](Proxy::black_hole) | connections open, nothing is ever answered | `read` above `bytes` |
/// | [`delay`](Direction::delay) | everything comes later, in its order | `read` above `bytes` |
/// | [`throttle`](Direction::throttle) | everything comes slowly | `read` above `bytes` |
/// | [`stall_after`](Direction::stall_after) | silence in the middle of a message | `read` above `bytes` |
/// | [`cut_after`](Direction::cut_after) | the end in the middle of a message | `cut` |
/// | [`half_close`](Direction::half_close) | the end of one direction (FIN) | `half_closes` |
///
/// What the two sides do by themselves goes through: a FIN as a FIN, a reset as a reset. A server that cannot be reached
/// within ten seconds resets its client.
///
/// # Limits
/// 1024 connections at once; the next one is refused. In each direction of each of them 256 chunks of at most 16 KiB are
/// under way; then the proxy stops reading, as a full network would. Delays come late by less than a
/// millisecond on a machine that is not busy.
///
/// Everything that the proxy started ends when it is dropped. It lives in the runtime that made it.
pub struct Proxy {
    address: SocketAddr,
    link: Arc<Link>,
    /// Aborted when dropped, and with it the connections, which it owns.
    _acceptor: JoinSet<()>,
}

impl Proxy {
    /// A proxy in front of the server of a `host:port` or of a URL (`postgres://`, `redis://`, `nats://`, or libpq's
    /// `host=.. port=..`), also where that names a Unix socket. The server need not run yet.
    ///
    /// # Errors
    /// [`Error::Address`] where the text names no server or several, [`Error::Listen`] where no port is to be had.
    pub async fn to(server: &str) -> Result<Proxy, Error> {
        Proxy::start(Route::new(server)?).await
    }

    /// The same, and the clients speak TLS with the proxy, which speaks plain text with the server.
    ///
    /// # Errors
    /// As [`Proxy::to`], and [`Error::Certificate`] where the certificate cannot be used.
    #[cfg(feature = "tls")]
    pub async fn with_tls(server: &str, tls: &Tls) -> Result<Proxy, Error> {
        Proxy::start(Route { tls: Some(tls.terminator()?), ..Route::new(server)? }).await
    }

    async fn start(route: Route) -> Result<Proxy, Error> {
        let listen = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen.await.map_err(|source| Error::Listen { source })?;
        let link = Arc::clone(&route.link);
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, Arc::new(route)));
        Ok(Proxy { address, link, _acceptor: acceptor })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL through this proxy: its host and port are those of the proxy, everything else stays.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), shared_devkit::Error> {
    /// let proxy = shared_devkit::Proxy::to("localhost:6379").await?;
    /// let port = proxy.address().port();
    /// assert_eq!(proxy.url("redis://app:secret@localhost/3"), format!("redis://app:secret@127.0.0.1:{port}/3"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn url(&self, server: &str) -> String {
        address::replaced(server, self.address)
    }

    /// What has been counted so far.
    pub fn counters(&self) -> Counters {
        *self.link.counters.borrow()
    }

    /// Waits until the counters are as wanted, and returns them. Every change is looked at, and none is polled for.
    ///
    /// # Errors
    /// [`Error::Unseen`] with the counters after a minute, so that a test fails rather than hangs.
    ///
    /// Dropping the future changes nothing.
    pub async fn until(&self, mut wanted: impl FnMut(&Counters) -> bool) -> Result<Counters, Error> {
        let mut counters = self.link.counters.subscribe();
        let seen = timeout(UNTIL, counters.wait_for(|counters| wanted(counters))).await;
        match seen {
            Ok(Ok(counters)) => Ok(*counters),
            _ => Err(Error::Unseen { counters: Box::new(self.counters()) }),
        }
    }

    /// The round trips that `work` takes on the connections that are open.
    ///
    /// A trip begins when a client sends something after it was answered. So that what it sends without waiting
    /// belongs to the same trip, answers must be under way for a while: [`delay`](Direction::delay) them first.
    pub async fn round_trips(&self, work: impl Future<Output = ()>) -> u64 {
        let before = self.counters().round_trips;
        work.await;
        self.counters().round_trips - before
    }

    /// Closes every open connection, without a word: what is under way is lost. New ones are let through.
    pub fn cut(&self) {
        self.link.change(|faults| faults.cuts += 1);
    }

    /// Resets every open connection on both sides. New ones are let through.
    pub fn reset(&self) {
        self.link.change(|faults| faults.resets += 1);
    }

    /// Resets every new connection at once. Open ones stay.
    pub fn refuse(&self) {
        self.link.change(|faults| faults.refusing = true);
    }

    /// Holds everything back in both directions: new connections are accepted, and answered never. TLS stays silent, too.
    pub fn black_hole(&self) {
        self.to_server().stall_after(0);
        self.to_client().stall_after(0);
    }

    /// Ends every fault that lasts. What was held back goes its way.
    pub fn heal(&self) {
        self.link.change(Faults::heal);
    }

    /// What clients send.
    pub fn to_server(&self) -> Direction<'_> {
        Direction { link: &self.link, way: Way::ToServer }
    }

    /// What the server answers.
    pub fn to_client(&self) -> Direction<'_> {
        Direction { link: &self.link, way: Way::ToClient }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Proxy")
            .field("address", &self.address)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// One direction of all connections of a [`Proxy`], with the faults of its own.
#[derive(Clone, Copy)]
pub struct Direction<'a> {
    link: &'a Link,
    way: Way,
}

impl Direction<'_> {
    /// Each chunk arrives this much later than it came. Their order and their distances stay, so as many bytes pass per
    /// second as before, up to the 4 MiB that may be under way.
    pub fn delay(&self, latency: Duration) {
        self.link.change(|faults| faults.lane(self.way).delay = latency);
    }

    /// No more bytes pass per second than these, at least one, on each connection.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.link.change(|faults| faults.lane(self.way).rate = Some(bytes_per_second.max(1)));
    }

    /// After that many more bytes, of all connections together, nothing passes. The connections stay open.
    pub fn stall_after(&self, bytes: u64) {
        self.limit(bytes, Then::Stall);
    }

    /// After that many more bytes, of all connections together, the next byte closes its connection, as [`Proxy::cut`]
    /// does. With 0 no answer arrives any more, while its request was still carried out.
    pub fn cut_after(&self, bytes: u64) {
        self.limit(bytes, Then::Cut);
    }

    /// Sends a FIN in this direction of every open connection. What is under way and what still comes is dropped; the
    /// other direction goes on.
    pub fn half_close(&self) {
        self.link.change(|faults| faults.lane(self.way).half_closes += 1);
    }

    fn limit(&self, left: u64, then: Then) {
        self.link.change(|faults| faults.lane(self.way).limit = Some(Limit { left, then }));
    }
}

impl fmt::Debug for Direction<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Direction").field(&self.way).finish()
    }
}

/// What every connection needs to know.
struct Route {
    target: Target,
    link: Arc<Link>,
    #[cfg(feature = "tls")]
    tls: Option<tls::Terminator>,
}

impl Route {
    fn new(server: &str) -> Result<Route, Error> {
        Ok(Route {
            target: Target::parse(server)?,
            link: Arc::default(),
            #[cfg(feature = "tls")]
            tls: None,
        })
    }
}

async fn accept(listener: TcpListener, route: Arc<Route>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => admit(client, &route, &mut connections),
                // The process has no file left, say. The client waits meanwhile.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn admit(client: TcpStream, route: &Arc<Route>, connections: &mut JoinSet<()>) {
    let faults = route.link.faults();
    if faults.refusing || connections.len() >= MOST_CONNECTIONS {
        reset(&client);
        route.link.count(|counters| counters.refused += 1);
    } else {
        connections.spawn(connection::run(client, Arc::clone(route), faults));
    }
}
