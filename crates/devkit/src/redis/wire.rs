//! As much of Redis' protocol as devkit itself speaks: a command, and its answer.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use super::address::Address;

/// A server on this machine answers at once, or it is stopped or overrun.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer to what devkit asks is one of `SCAN`.
const LONGEST: usize = 16 << 20;
/// `CLUSTER SLOTS` is an array of arrays of arrays.
const DEEPEST: usize = 8;

/// A connection that is authenticated and has chosen its database. Blocks.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    Nothing,
    Integer(i64),
    Bytes(Vec<u8>),
    Array(Vec<Reply>),
}

impl Connection {
    pub(super) fn open(address: &Address) -> io::Result<Connection> {
        let places = (address.host.as_str(), address.port).to_socket_addrs()?;
        let mut last = io::Error::other("the name has no address");
        for place in places {
            match TcpStream::connect_timeout(&place, PATIENCE) {
                Ok(stream) => return Connection::begin(stream, address),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn begin(stream: TcpStream, address: &Address) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Connection { stream: BufReader::new(stream) };
        match (&address.user, &address.password) {
            (Some(user), Some(password)) => connection.call(&["AUTH", user, password])?,
            (None, Some(password)) => connection.call(&["AUTH", password])?,
            (_, None) => Reply::Nothing,
        };
        if address.database > 0 {
            connection.call(&["SELECT", &address.database.to_string()])?;
        }
        Ok(connection)
    }

    /// Sends a command and waits for its answer. What the server refuses is an error with its reason.
    pub(super) fn call(&mut self, command: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            let word = word.as_ref();
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(word);
            request.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        self.reply(DEEPEST)
    }

    /// As [`Connection::call`], where the answer is text.
    pub(super) fn text(&mut self, command: &[impl AsRef<[u8]>]) -> io::Result<String> {
        self.call(command)?.into_text()
    }

    fn reply(&mut self, depth: usize) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| unexpected("an empty line"))?;
        match kind {
            "+" => Ok(Reply::Bytes(rest.into())),
            "-" => Err(io::Error::other(rest)),
            ":" => Ok(Reply::Integer(rest.parse().map_err(|_| unexpected("no integer"))?)),
            "$" => self.bytes(rest),
            "*" if depth > 0 => match rest.parse() {
                Ok(count @ 0..=0xFFFF) => {
                    (0..count).map(|_| self.reply(depth - 1)).collect::<Result<_, _>>().map(Reply::Array)
                }
                Ok(-1) => Ok(Reply::Nothing),
                _ => Err(unexpected("a long array")),
            },
            _ => Err(unexpected("another protocol")),
        }
    }

    fn bytes(&mut self, length: &str) -> io::Result<Reply> {
        if length == "-1" {
            return Ok(Reply::Nothing);
        }
        let length: usize = length.parse().map_err(|_| unexpected("no length"))?;
        if length > LONGEST {
            return Err(unexpected("a long text"));
        }
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Reply::Bytes(bytes))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.by_ref().take(LONGEST as u64).read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Reply {
    pub(super) fn into_text(self) -> io::Result<String> {
        match self {
            Reply::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Err(unexpected("no text")),
        }
    }

    pub(super) fn into_array(self) -> io::Result<Vec<Reply>> {
        match self {
            Reply::Array(items) => Ok(items),
            _ => Err(unexpected("no array")),
        }
    }

    pub(super) fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Reply::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server answered with {what}"))
}
