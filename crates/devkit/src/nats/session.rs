//! As much of the NATS protocol as devkit itself needs: greet, ask, and see who listens.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use super::address::{Address, json};

/// A server on this machine answers in milliseconds. One that does not within this time is not there.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer than any answer that is asked for here: a thousand names of streams, of 255 letters each.
const LONGEST_MESSAGE: usize = 1 << 20;
/// One connection. Every method blocks, for five seconds at most where the server says nothing.
pub(super) struct Session {
    stream: BufReader<TcpStream>,
    address: Address,
    /// What the server tells of itself, as JSON.
    info: String,
    /// The beginning of the subjects to which answers come. Nobody else has it.
    inbox: String,
    questions: u64,
}

/// What a server sends to a client, as far as it matters here.
enum Received {
    Answer(String),
    NobodyListens,
    Pong,
}

impl Session {
    /// What the server at `url` says that it is.
    pub(super) fn version(url: &str) -> io::Result<String> {
        let session = Session::open(url)?;
        session.field("version").map(str::to_owned).ok_or_else(|| broken("it does not say its version"))
    }

    /// Whether the server at `url` has this name, and its JetStream answers. Without TLS, which devkit does not speak,
    /// such a server is asked for no more than its greeting: it greets after its JetStream is up.
    pub(super) fn is_ready(url: &str, name: &str) -> bool {
        let ready = |session: Session| -> io::Result<bool> {
            let greets =
                session.field("server_name") == Some(name) && session.info.contains("\"jetstream\":true");
            if !greets || session.address.tls {
                return Ok(greets);
            }
            Ok(session.greet()?.request("$JS.API.INFO", "")?.contains("account_info_response"))
        };
        Session::open(url).and_then(ready).unwrap_or(false)
    }

    /// Connects and proves who is asking.
    pub(super) fn connect(url: &str) -> io::Result<Session> {
        Session::open(url)?.greet()
    }

    fn open(url: &str) -> io::Result<Session> {
        let address = Address::parse(url);
        let found = address.server.to_socket_addrs()?.next().ok_or_else(|| broken("it has no address"))?;
        let stream = TcpStream::connect_timeout(&found, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut session = Session {
            stream: BufReader::new(stream),
            address,
            info: String::new(),
            inbox: format!("_INBOX.{}", uuid::Uuid::new_v4().simple()),
            questions: 0,
        };
        let greeting = session.line()?;
        let info = greeting.strip_prefix("INFO ").ok_or_else(|| broken("it is no NATS server"))?;
        info.clone_into(&mut session.info);
        Ok(session)
    }

    /// A text in the server's greeting; none that is asked for here has a quote in it.
    fn field(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.info.split_once(&format!("\"{name}\":\""))?;
        rest.split('"').next()
    }

    fn greet(mut self) -> io::Result<Session> {
        if self.address.tls || self.info.contains("\"tls_required\":true") {
            return Err(io::Error::new(
                ErrorKind::Unsupported,
                "the server asks for TLS, which devkit does not speak",
            ));
        }
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"rust\",\
             \"version\":{},\"name\":\"shared-devkit\"{}}}\r\nPING\r\n",
            json(env!("CARGO_PKG_VERSION")),
            self.address.credentials()
        );
        self.send(&hello)?;
        while !matches!(self.receive()?, Received::Pong) {}
        self.send(&format!("SUB {}.* 1\r\n", self.inbox))?;
        Ok(self)
    }

    /// Asks, and returns the answer.
    pub(super) fn request(&mut self, subject: &str, payload: &str) -> io::Result<String> {
        self.ask(subject, payload)?;
        loop {
            match self.receive()? {
                Received::Answer(text) => return Ok(text),
                Received::NobodyListens => {
                    return Err(io::Error::new(ErrorKind::NotFound, format!("nobody answers {subject}")));
                }
                Received::Pong => {}
            }
        }
    }

    /// Whether anybody has subscribed to a subject.
    pub(super) fn is_heard(&mut self, subject: &str) -> io::Result<bool> {
        self.ask(subject, "")?;
        self.send("PING\r\n")?;
        // The server says at once that nobody listens, before it goes on to the next line.
        let mut heard = true;
        loop {
            match self.receive()? {
                Received::Pong => return Ok(heard),
                Received::NobodyListens => heard = false,
                Received::Answer(_) => {}
            }
        }
    }

    /// Becomes one who listens to a subject, and gives the connection away.
    pub(super) fn listen(mut self, subject: &str) -> io::Result<TcpStream> {
        self.send(&format!("SUB {subject} 2\r\nPING\r\n"))?;
        while !matches!(self.receive()?, Received::Pong) {}
        Ok(self.stream.into_inner())
    }

    fn ask(&mut self, subject: &str, payload: &str) -> io::Result<()> {
        self.questions += 1;
        let inbox = self.present();
        self.send(&format!("PUB {subject} {inbox} {}\r\n{payload}\r\n", payload.len()))
    }

    /// Where the answer to the present question comes.
    fn present(&self) -> String {
        format!("{}.{}", self.inbox, self.questions)
    }

    /// Reads until something comes that matters: an answer to the present question, not to one before it.
    fn receive(&mut self) -> io::Result<Received> {
        let present = self.present();
        loop {
            let line = self.line()?;
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["PONG"] => return Ok(Received::Pong),
                ["PING"] => self.send("PONG\r\n")?,
                ["MSG", subject, .., size] => {
                    let payload = self.payload(size)?;
                    if *subject == present {
                        return Ok(Received::Answer(payload));
                    }
                }
                ["HMSG", subject, .., size] => {
                    let payload = self.payload(size)?;
                    if *subject == present && payload.starts_with("NATS/1.0 503") {
                        return Ok(Received::NobodyListens);
                    }
                }
                ["-ERR", ..] => return Err(broken(line.trim_start_matches("-ERR ").trim_matches('\''))),
                // News of the server, `+OK`.
                _ => {}
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.by_ref().take(LONGEST_MESSAGE as u64).read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads what is announced with its size, and the end of line after it.
    fn payload(&mut self, size: &str) -> io::Result<String> {
        let size = size.parse().ok().filter(|size| *size <= LONGEST_MESSAGE);
        let size = size.ok_or_else(|| broken("its answer is too long"))?;
        let mut payload = vec![0; size + 2];
        self.stream.read_exact(&mut payload)?;
        payload.truncate(size);
        Ok(String::from_utf8_lossy(&payload).into_owned())
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }
}

fn broken(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}
