use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderValue;

use crate::Error;

/// As long as the longest host name with its scheme and port.
const MAX: usize = 8 + 253 + 6;

/// A web origin (RFC 6454) as browsers write it: `https://shop.example`, `http://localhost:5173`.
///
/// Only `https`, and `http` for this machine; lower case, without the scheme's own port, a path or a pattern. `null`,
/// which any sandboxed page can send, is none. What it holds fits into a header and a policy without escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// The text, as in the header `origin`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a header says this origin, byte for byte.
    pub(crate) fn is(&self, header: &HeaderValue) -> bool {
        header.as_bytes() == self.0.as_bytes()
    }
}

impl FromStr for Origin {
    type Err = Error;

    /// # Errors
    /// [`Error::Origin`] if it is anything else.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or(Error::Origin)
    }
}

fn parse(text: &str) -> Option<Origin> {
    if text.len() > MAX {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = split_port(authority)?;
    let own_port = match scheme {
        "https" => 443,
        "http" if is_loopback(host) => 80,
        _ => return None,
    };
    is_host(host).then_some(())?;
    let port = match port {
        Some(port) if port != own_port => format!(":{port}"),
        _ => String::new(),
    };
    Some(Origin(format!("{scheme}://{host}{port}").into()))
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority.get(end..)?.find(':') {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(end + colon);
            let digits = port.strip_prefix(':')?;
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            Some((host, Some(digits.parse().ok().filter(|port| plain && *port > 0)?)))
        }
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

shared_core::setting!(Origin, "an origin such as https://shop.example; http for this machine only");

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn an_origin_has_one_form() {
        for (text, origin) in [
            ("https://shop.example", "https://shop.example"),
            ("HTTPS://Shop.Example:443", "https://shop.example"),
            ("https://shop.example:8443", "https://shop.example:8443"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), origin);
        }
    }

    #[test]
    fn nothing_else_is_an_origin() {
        for text in [
            "",
            "null",
            "*",
            "https://",
            "https://*",
            "https://*.example",
            "shop.example",
            "http://shop.example",
            "https://shop.example/",
            "https://shop.example/path",
            "https://user@shop.example",
            "https://a b",
            "https://a;script-src *",
            "https://a\r\nset-cookie: b",
            "https://a,b",
            "https://shop.example:0",
            "https://shop.example:65536",
            "https://shop.example:+1",
            "https://a..b",
            "https://[::1",
            "https://[a]",
            "javascript://a",
            "data:text/html",
            "https://ü.example",
            "https://a:",
            "https://'self'",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
        assert!(format!("https://{}", "a".repeat(300)).parse::<Origin>().is_err());
    }
}
