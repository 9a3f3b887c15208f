//! The two ends of a connection, whatever they are made of.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

pub(super) type Reader<'a> = Box<dyn AsyncRead + Send + Unpin + 'a>;
pub(super) type Writer<'a> = Box<dyn AsyncWrite + Send + Unpin + 'a>;

pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl Socket {
    pub(super) fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Socket::Tcp(stream) => {
                let (reader, writer) = stream.split();
                (Box::new(reader), Box::new(writer))
            }
            Socket::Unix(stream) => {
                let (reader, writer) = stream.split();
                (Box::new(reader), Box::new(writer))
            }
            #[cfg(feature = "tls")]
            Socket::Tls(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                (Box::new(reader), Box::new(writer))
            }
        }
    }

    /// Lets the socket end with a reset when it is dropped; a Unix socket has none, and closes.
    pub(super) fn reset(&self) {
        match self {
            Socket::Tcp(stream) => reset(stream),
            Socket::Unix(_) => {}
            #[cfg(feature = "tls")]
            Socket::Tls(stream) => reset(stream.get_ref().0),
        }
    }
}

pub(super) fn reset(stream: &TcpStream) {
    // Fails where the other side has reset it before.
    let _ = stream.set_zero_linger();
}

/// A chunk goes at once: how it is delayed is the proxy's business alone.
pub(super) fn without_delay(stream: TcpStream) -> TcpStream {
    // Fails where the other side has gone already, which the next read tells.
    let _ = stream.set_nodelay(true);
    stream
}
