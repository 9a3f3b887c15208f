//! How a connection becomes TLS before anything is forwarded.

use std::{
    io::{Error as IoError, ErrorKind, Result as IoResult},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    faults::Link,
    socket::{Socket, without_delay},
};
use crate::{
    Error,
    certificates::{Authority, Certificate, server_config},
};

/// A client that has not greeted by then is a port scanner or stuck.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest INFO of a NATS server, with the addresses of a large cluster.
const MOST_INFO: usize = 64 * 1024;

/// The first byte of a TLS handshake, and of nothing that Postgres speaks.
const TLS_HELLO: u8 = 0x16;
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// How the clients of a [`Proxy`](crate::Proxy) come to speak TLS with it: 1.2 or 1.3, by rustls.
///
/// ```no_run
/// use shared_devkit::{Authority, Postgres, Proxy, Tls};
///
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let (server, authority) = (Postgres::shared().await?, Authority::new()?);
/// let proxy = Proxy::with_tls(server.url(), &Tls::postgres(&authority.server()?)).await?;
/// let root = authority.root_file().display();
/// println!("psql '{}?sslmode=verify-full&sslrootcert={root}'", proxy.url(server.url()));
/// # Ok(())
/// # }
/// ```
///
/// The handshake is between the client and the proxy: only [`refuse`](crate::Proxy::refuse), a cut, and what
/// [stalls](crate::Direction::stall_after) stop it.
#[derive(Clone, Debug)]
pub struct Tls {
    opening: Opening,
    certificate: Option<Certificate>,
    /// DER of the root that signs the certificates of clients.
    clients: Option<rustls::pki_types::CertificateDer<'static>>,
}

#[derive(Clone, Copy, Debug)]
enum Opening {
    AtOnce,
    Postgres,
    Nats,
}

impl Tls {
    /// From the first byte: `rediss://`, `https://`, NATS with "TLS first".
    pub fn at_once(certificate: &Certificate) -> Tls {
        Tls { opening: Opening::AtOnce, certificate: Some(certificate.clone()), clients: None }
    }

    /// As a Postgres with TLS: after an SSLRequest, or at once as since PostgreSQL 17 (`sslnegotiation=direct`). Who asks
    /// for no TLS goes on in plain text, as with `host` in `pg_hba.conf`.
    ///
    /// Channel binding is not on offer: it would need the server's own certificate.
    pub fn postgres(certificate: &Certificate) -> Tls {
        Tls { opening: Opening::Postgres, ..Tls::at_once(certificate) }
    }

    /// As a Postgres without TLS, whatever the server has: the answer to an SSLRequest is no.
    pub fn postgres_without() -> Tls {
        Tls { opening: Opening::Postgres, certificate: None, clients: None }
    }

    /// As a NATS server that requires TLS: its INFO comes in plain text and says so, then the client begins.
    pub fn nats(certificate: &Certificate) -> Tls {
        Tls { opening: Opening::Nats, ..Tls::at_once(certificate) }
    }

    /// Clients, too, must show a certificate, one of this authority.
    #[must_use]
    pub fn with_clients_of(self, authority: &Authority) -> Tls {
        Tls { clients: Some(authority.root()), ..self }
    }

    pub(super) fn terminator(&self) -> Result<Terminator, Error> {
        let Some(certificate) = &self.certificate else {
            return Ok(Terminator { opening: self.opening, acceptor: None });
        };
        let mut config = server_config(certificate, self.clients.as_ref())?;
        if let Opening::Postgres = self.opening {
            // Asked for by clients that begin at once, so that no other protocol can be mistaken for theirs.
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Terminator { opening: self.opening, acceptor: Some(TlsAcceptor::from(Arc::new(config))) })
    }
}

pub(super) struct Terminator {
    opening: Opening,
    /// `None` where TLS is not on offer.
    acceptor: Option<TlsAcceptor>,
}

impl Terminator {
    /// The client's socket, ready to be forwarded, and which of its bytes were read already. `None` where it failed.
    pub(super) async fn open(
        &self,
        client: TcpStream,
        server: &mut Socket,
        link: &Link,
    ) -> Option<(Socket, Vec<u8>)> {
        let opened = timeout(HANDSHAKE, self.negotiate(client, server)).await;
        let opened = opened.unwrap_or_else(|elapsed| Err(elapsed.into()));
        link.count(|counters| match &opened {
            Ok((Socket::Tls(_), _)) => counters.handshakes += 1,
            Ok(_) => {}
            Err(_) => counters.failed_handshakes += 1,
        });
        opened.ok()
    }

    async fn negotiate(&self, mut client: TcpStream, server: &mut Socket) -> IoResult<(Socket, Vec<u8>)> {
        match self.opening {
            Opening::AtOnce => {}
            Opening::Nats => client.write_all(&info(server).await?).await?,
            Opening::Postgres => {
                if let Some(early) = self.asked_for_plain_text(&mut client).await? {
                    return Ok((Socket::Tcp(client), early));
                }
            }
        }
        let acceptor = self.acceptor.as_ref().ok_or(ErrorKind::Unsupported)?;
        let stream = acceptor.accept(without_delay(client)).await?;
        Ok((Socket::Tls(Box::new(stream)), Vec::new()))
    }

    /// Answers the requests with which a Postgres client begins: its first eight bytes if it wants no TLS, `None` if TLS
    /// is what comes next.
    async fn asked_for_plain_text(&self, client: &mut TcpStream) -> IoResult<Option<Vec<u8>>> {
        loop {
            let mut first = [0];
            if client.peek(&mut first).await? == 1 && first[0] == TLS_HELLO {
                return Ok(None);
            }
            let mut request = [0; 8];
            client.read_exact(&mut request).await?;
            match request {
                SSL_REQUEST if self.acceptor.is_some() => {
                    client.write_all(b"S").await?;
                    return Ok(None);
                }
                SSL_REQUEST | GSS_REQUEST => client.write_all(b"N").await?,
                startup => return Ok(Some(startup.to_vec())),
            }
        }
    }
}

/// The first line of a NATS server, which says from now on that TLS is required.
async fn info(server: &mut Socket) -> IoResult<Vec<u8>> {
    let (mut reader, _) = server.split();
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if line.len() == MOST_INFO {
            return Err(IoError::from(ErrorKind::InvalidData));
        }
        line.push(reader.read_u8().await?);
    }
    let fields = line.strip_prefix(b"INFO {").ok_or(ErrorKind::InvalidData)?;
    Ok([b"INFO {\"tls_required\":true,", fields].concat())
}
