//! Where a Redis is, and who one is there: what a `redis://` URL says.

use crate::{Error, url::decoded};

/// Its `Debug` is left out on purpose: it has a password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
}

impl Address {
    /// Reads `redis://user:password@host:port/database`, of which all but the host may be left out.
    pub(super) fn parse(url: &str) -> Result<Address, Error> {
        let refused = |reason| Error::RedisUrl { reason };
        let rest = match url.split_once("://") {
            Some(("redis" | "valkey", rest)) => rest,
            Some(("rediss" | "valkeys", _)) => return Err(refused("devkit itself speaks no TLS")),
            _ => return Err(refused("it does not begin with redis://")),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = server.rsplit_once('@').unwrap_or(("", server));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (place, "6379"),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let given = |text: &str| Some(decoded(text)).filter(|text| !text.is_empty());
        if host.is_empty() {
            return Err(refused("it names no host"));
        }
        let database = if database.is_empty() { "0" } else { database };
        Ok(Address {
            host: host.to_owned(),
            port: port.parse().map_err(|_| refused("its port is not a number up to 65535"))?,
            user: given(user),
            password: given(password),
            database: database.parse().map_err(|_| refused("its database is not a number"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    fn said(url: &str) -> String {
        match Address::parse(url) {
            Ok(Address { host, port, user, password, database }) => {
                let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
                format!("{host} {port} {user} {password} {database}")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_url_says_where_and_who() {
        let cases = [
            ("redis://h", "h 6379   0"),
            ("redis://:p%40%25@h:5/3", "h 5  p@% 3"),
            ("redis://me:p@[::1]:5?protocol=resp3", "::1 5 me p 0"),
            ("valkey://[::1]/2", "::1 6379   2"),
        ];
        for (url, expected) in cases {
            assert_eq!(said(url), expected, "{url}");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_and_not_repeated() {
        let urls =
            ["secret", "rediss://:secret@h", "redis://:secret@:1", "redis://h:secret", "redis://h/secret"];
        for url in urls {
            let said = said(url);
            assert!(said.starts_with("cannot use the server of REDIS_URL: "), "{url}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
