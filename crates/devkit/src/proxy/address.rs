//! Where a server is, read from the text that its clients connect with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::socket::{Socket, without_delay};
use crate::{Error, url::decoded};

/// A server on this machine answers at once, or it is stopped or overrun; its client learns that by a reset.
const CONNECT: Duration = Duration::from_secs(10);

/// The parameters of libpq that say where the server is.
const PLACE: [&str; 3] = ["host", "hostaddr", "port"];

pub(super) enum Target {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Target, Error> {
        let (place, default) = match Url::split(text) {
            Some(url) => (url.place(), default_port(url.scheme)),
            None if text.contains('=') => (words(text), Some("5432")),
            None => (authority(text), None),
        };
        let last = |name: &str| place.iter().rfind(|(key, value)| key == name && !value.is_empty());
        let host = last("hostaddr").or_else(|| last("host")).map(|(_, host)| host.as_str());
        let port = last("port").map(|(_, port)| port.as_str()).or(default);
        let refused = |reason| Err(Error::Address { reason });
        match (host, port) {
            (None, _) => refused("it names no host"),
            (_, None) => refused("it names no port"),
            (Some(host), Some(port)) if host.contains(',') || port.contains(',') => {
                refused("it names several servers")
            }
            (Some(host), Some(port)) if host.starts_with('/') => {
                Ok(Target::Unix(PathBuf::from(host).join(format!(".s.PGSQL.{port}"))))
            }
            (Some(host), Some(port)) => match port.parse() {
                Ok(port) => Ok(Target::Tcp(host.to_owned(), port)),
                Err(_) => refused("its port is not a number up to 65535"),
            },
        }
    }

    pub(super) async fn connect(&self) -> Option<Socket> {
        let connect = async {
            Ok::<_, std::io::Error>(match self {
                Target::Tcp(host, port) => {
                    Socket::Tcp(without_delay(TcpStream::connect((host.as_str(), *port)).await?))
                }
                Target::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
            })
        };
        timeout(CONNECT, connect).await.ok()?.ok()
    }
}

/// The same text for another place.
pub(super) fn replaced(text: &str, place: SocketAddr) -> String {
    let stays = |name: &str| !PLACE.contains(&name);
    if let Some(Url { scheme, user, path, query, .. }) = Url::split(text) {
        let kept = query.split('&').filter(|pair| stays(pair.split('=').next().unwrap_or_default()));
        let query = kept.collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        return format!("{scheme}://{user}{place}{path}{mark}{query}");
    }
    if text.contains('=') {
        let kept = words(text).into_iter().filter(|(name, _)| stays(name));
        let quoted = |(name, value): (String, String)| {
            format!("{name}='{}' ", value.replace('\\', "\\\\").replace('\'', "\\'"))
        };
        let kept: String = kept.map(quoted).collect();
        return format!("{kept}host={} port={}", place.ip(), place.port());
    }
    place.to_string()
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "postgres" | "postgresql" => Some("5432"),
        "redis" | "rediss" | "valkey" | "valkeys" => Some("6379"),
        "nats" | "tls" => Some("4222"),
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    }
}

type Pairs = Vec<(String, String)>;

/// `scheme://user@authority/path?query`, where `user` has its `@` and `path` its `/`.
struct Url<'a> {
    scheme: &'a str,
    user: &'a str,
    authority: &'a str,
    path: &'a str,
    query: &'a str,
}

impl Url<'_> {
    fn split(text: &str) -> Option<Url<'_>> {
        let (scheme, rest) = text.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, authority) = server.split_at(server.rfind('@').map_or(0, |at| at + 1));
        Some(Url { scheme, user, authority, path, query })
    }

    /// What the authority says, and then what the parameters say, which counts.
    fn place(&self) -> Pairs {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), decoded(value));
        let parameters = self.query.split('&').filter_map(|pair| pair.split_once('=')).map(pair);
        authority(self.authority).into_iter().chain(parameters).collect()
    }
}

/// `host`, `host:port`, `[::1]:port`, or the directory of a Unix socket, percent-encoded.
fn authority(text: &str) -> Pairs {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    vec![("host".to_owned(), decoded(host)), ("port".to_owned(), port.to_owned())]
}

/// `name=value name='quoted value'`, with `\` before a character that is meant literally.
fn words(text: &str) -> Pairs {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, value)) = rest.split_once('=') {
        let value = value.trim_start();
        let is_quoted = value.starts_with('\'');
        let mut characters = value.char_indices().skip(usize::from(is_quoted));
        let mut word = String::new();
        let end = loop {
            match characters.next() {
                Some((_, '\\')) => word.extend(characters.next().map(|(_, character)| character)),
                Some((at, '\'')) if is_quoted => break at + 1,
                Some((at, character)) if !is_quoted && character.is_whitespace() => break at,
                Some((_, character)) => word.push(character),
                None => break value.len(),
            }
        };
        pairs.push((name.trim().to_owned(), word));
        rest = value[end..].trim_start();
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> String {
        match Target::parse(text) {
            Ok(Target::Tcp(host, port)) => format!("{host} {port}"),
            Ok(Target::Unix(path)) => path.display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_server_is_found_in_what_its_clients_connect_with() {
        let cases = [
            ("localhost:80", "localhost 80"),
            ("[::1]:80", "::1 80"),
            ("postgres://u:p%40@h:5/a?sslmode=require", "h 5"),
            ("postgresql://h", "h 5432"),
            ("postgres://u@h/a?port=7", "h 7"),
            ("postgres:///a?host=%2Ftmp%2Fx", "/tmp/x/.s.PGSQL.5432"),
            ("postgres://u@%2Ftmp%2Fx:6/a", "/tmp/x/.s.PGSQL.6"),
            ("user=me password='a b\\'host=no' host=/tmp/x port=9", "/tmp/x/.s.PGSQL.9"),
            ("rediss://:p@h/3", "h 6379"),
            ("nats://[::1]", "::1 4222"),
        ];
        for (text, expected) in cases {
            assert_eq!(target(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_single_server_is_refused_and_not_repeated() {
        for text in
            ["postgres://u:secret@a,b/x", "postgres:///secret", "secret", "h:secret", "other://secret"]
        {
            let said = target(text);
            assert!(said.starts_with("cannot put a proxy in front of this address: it"), "{text}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn everything_but_the_place_stays() {
        let cases = [
            ("postgres://u:p%40@h:5/a?sslmode=require", "postgres://u:p%40@127.0.0.1:1/a?sslmode=require"),
            ("postgres:///a?host=/tmp/x&port=6&b=c", "postgres://127.0.0.1:1/a?b=c"),
            ("user=me host=/tmp/x password='it\\'s'", "user='me' password='it\\'s' host=127.0.0.1 port=1"),
            ("redis://h/3", "redis://127.0.0.1:1/3"),
            ("h:6379", "127.0.0.1:1"),
        ];
        for (text, expected) in cases {
            assert_eq!(replaced(text, ([127, 0, 0, 1], 1).into()), expected, "{text}");
        }
    }
}
