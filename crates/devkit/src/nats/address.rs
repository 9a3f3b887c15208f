//! The parts of a NATS URL.

use crate::url::decoded;

/// Where a server is, and who asks it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Host and port.
    pub(super) server: String,
    pub(super) tls: bool,
    /// User and password, or a token alone.
    login: Option<(String, Option<String>)>,
}

impl Address {
    /// The first server of a URL, which may list more of them.
    pub(super) fn parse(url: &str) -> Address {
        let first = url.split(',').next().unwrap_or(url).trim();
        let (scheme, rest) = first.split_once("://").unwrap_or(("nats", first));
        let (login, host) = rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
        let host = host.split('/').next().unwrap_or(host);
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let login = login.map(|login| match login.split_once(':') {
            Some((user, password)) => (decoded(user), Some(decoded(password))),
            None => (decoded(login), None),
        });
        Address {
            server: if has_port { host.to_owned() } else { format!("{host}:4222") },
            tls: scheme == "tls",
            login,
        }
    }

    /// Members of the JSON object with which a client presents itself.
    pub(super) fn credentials(&self) -> String {
        match &self.login {
            None => String::new(),
            Some((token, None)) => format!(",\"auth_token\":{}", json(token)),
            Some((user, Some(password))) => format!(",\"user\":{},\"pass\":{}", json(user), json(password)),
        }
    }
}

/// A text as JSON.
pub(super) fn json(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => quoted += &format!("\\u{:04x}", control as u32),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn a_url_names_server_and_login() {
        let cases = [
            ("nats://u:p@h:5", "h:5", ",\"user\":\"u\",\"pass\":\"p\""),
            ("nats://u%40x:p%2F%25%3a1@h", "h:4222", ",\"user\":\"u@x\",\"pass\":\"p/%:1\""),
            ("nats://to\"ken@[::1]:7/", "[::1]:7", ",\"auth_token\":\"to\\\"ken\""),
            ("nats://[::1]", "[::1]:4222", ""),
            ("h, nats://second:5", "h:4222", ""),
        ];
        for (url, server, credentials) in cases {
            let address = Address::parse(url);
            assert_eq!(
                (address.server.as_str(), address.credentials().as_str()),
                (server, credentials),
                "{url}"
            );
            assert!(!address.tls);
        }
        assert!(Address::parse("tls://u:p@h").tls);
    }
}
