//! A part of a NATS server for each test.

use std::{fmt, io};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinHandle,
};

use super::session::Session;
use crate::{
    Error,
    handle::{Handle, blocking},
};

const PREFIX: &str = "devkit_test_";
/// A UUID without its hyphens.
const ID_LENGTH: usize = 32;
/// Buckets of keys and values, and of objects, are streams under these names.
const BUCKETS: [&str; 2] = ["KV_", "OBJ_"];
/// More than one, so that the dead become fewer; not all, so that no test waits for the clean-up of a whole run.
const SWEPT_AT_ONCE: usize = 2;

/// A prefix of one's own on a NATS server, which ends when this value is dropped or its process dies.
///
/// Every subject, stream, durable name and bucket that begins with [`TestNats::prefix`] is of this test alone. It ends with
/// a connection that this value holds: keep it inside the runtime that made it, not in a `static`. Dropping cannot wait for
/// the server, so the streams and buckets that begin with the prefix are deleted by later calls that make a namespace, or go
/// with their server. On a server of `NATS_URL` those of the last tests stay until the next such call of anybody; on a
/// named server, which may be killed under its namespaces, they stay until it is purged.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// let nats = shared_devkit::Nats::shared().await?.namespace().await?;
/// let stream = format!("{}_orders", nats.prefix());
/// let subjects = format!("{}.orders.>", nats.prefix());
/// # Ok(())
/// # }
/// ```
pub struct TestNats {
    prefix: String,
    url: String,
    /// Its subscription says that the namespace is in use.
    listener: JoinHandle<()>,
    /// Keeps the server up, where it is one of ours.
    _handle: Option<Handle>,
}

impl TestNats {
    /// The server's URL, with its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The beginning of every name: letters, digits and `_`, as subjects, streams, durable names and buckets allow them.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Drop for TestNats {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl fmt::Debug for TestNats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TestNats").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Makes a namespace on the server at `url`, after those before it have been cleaned up.
pub(super) async fn create(url: &str, handle: Option<Handle>) -> Result<TestNats, Error> {
    let prefix = format!("{PREFIX}{}", uuid::Uuid::new_v4().simple());
    let (address, subject) = (url.to_owned(), alive(&prefix));
    // A server that its owner has killed and started again does not know its namespaces any more.
    let may_sweep = handle.as_ref().is_none_or(|handle| !handle.is_yours());
    let connected = blocking(move || {
        let mut session = Session::connect(&address).map_err(Error::request("connect to the NATS server"))?;
        if may_sweep {
            sweep(&mut session).map_err(Error::request("delete the streams of ended tests"))?;
        }
        session.listen(&subject).map_err(Error::request("make a namespace"))
    });
    let stream = connected.await?;
    let adopted = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
    let stream = adopted.map_err(Error::request("make a namespace"))?;
    // What ends the connection also ends the server, and the test that uses it notices.
    let listener = tokio::spawn(async move { drop(stay(stream).await) });
    Ok(TestNats { prefix, url: url.to_owned(), listener, _handle: handle })
}

/// The subject to which the owner of a namespace listens. It does not begin with the prefix: a stream of the owner's
/// would listen too, and keep the question.
fn alive(prefix: &str) -> String {
    format!("devkit.alive.{prefix}")
}

/// Answers the server's question whether the client still lives. Nothing else that arrives is of interest.
async fn stay(mut stream: TcpStream) -> io::Result<()> {
    let (input, mut output) = stream.split();
    let mut lines = BufReader::new(input).lines();
    while let Some(line) = lines.next_line().await? {
        if line == "PING" {
            output.write_all(b"PONG\r\n").await?;
        }
    }
    Ok(())
}

/// Deletes streams whose owner is gone: nobody listens in their namespace.
fn sweep(session: &mut Session) -> io::Result<()> {
    let names = session.request("$JS.API.STREAM.NAMES", "")?;
    let mut streams: Vec<_> = names.split('"').filter_map(|name| Some((namespace(name)?, name))).collect();
    streams.sort_unstable();
    let mut swept = 0;
    for of_one in streams.chunk_by(|(one, _), (other, _)| one == other) {
        if swept == SWEPT_AT_ONCE {
            break;
        }
        if session.is_heard(&alive(of_one[0].0))? {
            continue;
        }
        for (_, stream) in of_one {
            // Another one who sweeps may have been faster.
            session.request(&format!("$JS.API.STREAM.DELETE.{stream}"), "")?;
        }
        swept += 1;
    }
    Ok(())
}

/// The namespace that a stream belongs to.
fn namespace(stream: &str) -> Option<&str> {
    let name = BUCKETS.iter().find_map(|bucket| stream.strip_prefix(bucket)).unwrap_or(stream);
    let id = name.strip_prefix(PREFIX)?.get(..ID_LENGTH)?;
    id.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| &name[..PREFIX.len() + ID_LENGTH])
}

#[cfg(test)]
mod tests {
    use super::namespace;

    #[test]
    fn a_stream_tells_its_namespace() {
        let id = "devkit_test_0123456789abcdef0123456789abcdef";
        for stream in [id.to_owned(), format!("{id}_orders"), format!("KV_{id}_cache"), format!("OBJ_{id}")] {
            assert_eq!(namespace(&stream), Some(id), "{stream}");
        }
        for foreign in
            ["orders", "devkit_test_short", "KV_orders", "devkit_test_0123456789abcdef0123456789abcdeX"]
        {
            assert_eq!(namespace(foreign), None, "{foreign}");
        }
    }
}
