//! One connection through a proxy.

use std::{
    future::pending,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::Instant,
};

use super::{
    Route,
    faults::{Cut, Faults, Gate, Link, Way},
    socket::{Reader, Socket, Writer, reset, without_delay},
};

/// Larger than most messages; what comes in one go is passed on in one go.
const CHUNK: usize = 16 * 1024;
/// Chunks under way in one direction: with [`CHUNK`] at most 4 MiB.
const UNDER_WAY: usize = 256;

/// How a connection ends other than by two FINs.
#[derive(Clone, Copy)]
enum End {
    Cut,
    Reset,
}

struct Packet {
    since: Instant,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// `before` are the faults at the time it came: cuts and resets after it are meant for this connection.
pub(super) async fn run(client: TcpStream, route: Arc<Route>, before: Faults) {
    let Some(server) = route.target.connect().await else {
        reset(&client);
        return route.link.count(|counters| counters.refused += 1);
    };
    let connection = Connection { link: &route.link, before, _open: Open::new(&route.link) };
    connection.talk(without_delay(client), server, &route).await;
}

struct Connection<'a> {
    link: &'a Arc<Link>,
    before: Faults,
    _open: Open,
}

impl Connection<'_> {
    /// Until both sides have said their last word, or something ends it.
    async fn talk(&self, client: TcpStream, mut server: Socket, route: &Route) {
        let opened = tokio::select! {
            opened = open(client, &mut server, route) => opened,
            // There is no socket of the client to reset while its handshake has it.
            _ = self.told() => return self.link.count(|counters| counters.cut += 1),
        };
        let Some((mut client, early)) = opened else { return };
        let answered = AtomicBool::new(true);
        let end = {
            let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
            let lane = |way| Lane { link: self.link, before: self.before, way, answered: &answered };
            let (there, back) = (lane(Way::ToServer), lane(Way::ToClient));
            tokio::select! {
                end = self.told() => Some(end),
                done = async {
                    tokio::try_join!(
                        there.forward(early, from_client, to_server),
                        back.forward(Vec::new(), from_server, to_client),
                    )
                } => done.err(),
            }
        };
        // Counted first: who sees the end may look at the counters.
        match end {
            None => {}
            Some(End::Cut) => self.link.count(|counters| counters.cut += 1),
            Some(End::Reset) => {
                self.link.count(|counters| counters.resets += 1);
                client.reset();
                server.reset();
            }
        }
    }

    /// Waits until a fault ends it.
    async fn told(&self) -> End {
        let (cuts, resets) = (self.before.cuts, self.before.resets);
        let now = self.link.until(|now| now.cuts != cuts || now.resets != resets).await;
        if now.resets == resets { End::Cut } else { End::Reset }
    }
}

/// Counts a connection as open for as long as it lives, aborted or not.
struct Open(Arc<Link>);

impl Open {
    fn new(link: &Arc<Link>) -> Open {
        link.count(|counters| {
            counters.accepted += 1;
            counters.open += 1;
        });
        Open(Arc::clone(link))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|counters| counters.open -= 1);
    }
}

/// What comes before the first byte is forwarded, and which bytes it has read too far. `None` ends the connection.
#[cfg(feature = "tls")]
async fn open(client: TcpStream, server: &mut Socket, route: &Route) -> Option<(Socket, Vec<u8>)> {
    match &route.tls {
        None => Some((Socket::Tcp(client), Vec::new())),
        Some(tls) => {
            route.link.until(|faults| !faults.is_stalled()).await;
            tls.open(client, server, &route.link).await
        }
    }
}

#[cfg(not(feature = "tls"))]
async fn open(client: TcpStream, _: &mut Socket, _: &Route) -> Option<(Socket, Vec<u8>)> {
    Some((Socket::Tcp(client), Vec::new()))
}

/// One direction of a connection.
struct Lane<'a> {
    link: &'a Arc<Link>,
    before: Faults,
    way: Way,
    /// Whether the client has been answered since it sent something.
    answered: &'a AtomicBool,
}

impl Lane<'_> {
    /// Reads and writes at the same time, so that a chunk's delay holds up no other one. Ends after the FIN.
    async fn forward(&self, early: Vec<u8>, from: Reader<'_>, to: Writer<'_>) -> Result<(), End> {
        let (queue, packets) = mpsc::channel(UNDER_WAY);
        let read = async {
            self.read(early, from, queue).await;
            pending().await
        };
        tokio::select! {
            () = read => Ok(()),
            done = self.write(packets, to) => done,
        }
    }

    async fn read(&self, early: Vec<u8>, mut from: Reader<'_>, queue: mpsc::Sender<Packet>) {
        let mut buffer = vec![0; CHUNK];
        let mut content = (!early.is_empty()).then_some(Content::Bytes(early));
        loop {
            let content = match content.take() {
                Some(early) => early,
                None => match from.read(&mut buffer).await {
                    Ok(0) => Content::Fin,
                    Ok(length) => Content::Bytes(buffer[..length].to_vec()),
                    // Many TLS clients close without saying so in TLS.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => Content::Fin,
                    Err(_) => Content::Reset,
                },
            };
            let is_last = !matches!(content, Content::Bytes(_));
            self.count_read(&content);
            if queue.send(Packet { since: Instant::now(), content }).await.is_err() || is_last {
                return;
            }
        }
    }

    fn count_read(&self, content: &Content) {
        let Content::Bytes(bytes) = content else { return };
        self.link.count_traffic(self.way, |traffic| traffic.read += bytes.len() as u64);
        if self.way == Way::ToServer && self.answered.swap(false, Ordering::SeqCst) {
            self.link.count(|counters| counters.round_trips += 1);
        }
    }

    async fn write(&self, mut packets: mpsc::Receiver<Packet>, mut to: Writer<'_>) -> Result<(), End> {
        let half_closes = self.before.half_closes(self.way);
        let half_closed = self.link.until(|now| now.half_closes(self.way) != half_closes);
        tokio::select! {
            done = self.pass_all(&mut packets, &mut to) => done?,
            _ = half_closed => self.link.count(|counters| counters.half_closes += 1),
        }
        // Fails where the other side has gone already.
        let _ = to.shutdown().await;
        // After a half-close the rest is dropped, so that its sender may go on.
        while packets.recv().await.is_some() {}
        Ok(())
    }

    async fn pass_all(&self, packets: &mut mpsc::Receiver<Packet>, to: &mut Writer<'_>) -> Result<(), End> {
        let mut gate = Gate::new(self.link, self.way);
        while let Some(Packet { since, content }) = packets.recv().await {
            match content {
                Content::Bytes(bytes) => self.pass(&mut gate, since, &bytes, to).await?,
                Content::Fin => {
                    gate.pass(since, 0).await?;
                    break;
                }
                Content::Reset => {
                    gate.pass(since, 0).await?;
                    return Err(End::Reset);
                }
            }
        }
        Ok(())
    }

    async fn pass(
        &self,
        gate: &mut Gate,
        since: Instant,
        mut bytes: &[u8],
        to: &mut Writer<'_>,
    ) -> Result<(), End> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(gate.pass(since, bytes.len()).await?);
            // Before the client can have it: it may answer at once.
            if self.way == Way::ToClient {
                self.answered.store(true, Ordering::SeqCst);
            }
            let written = async {
                to.write_all(now).await?;
                to.flush().await
            };
            written.await.map_err(|_| End::Reset)?;
            self.link.count_traffic(self.way, |traffic| {
                traffic.bytes += now.len() as u64;
                traffic.chunks += 1;
            });
            bytes = later;
        }
        Ok(())
    }
}

impl From<Cut> for End {
    fn from(_: Cut) -> End {
        End::Cut
    }
}
