//! Where a Redis is, and whether it may be spoken to in the clear.

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use shared_core::Secret;
use shared_core::schema::Profile;

use super::config::Config;
use crate::address::{authorities, is_local};
use crate::error::Error;

/// What a URL says, without ever quoting it.
pub(super) fn parse(config: &Config, url: &Secret) -> Result<ConnectionInfo, Error> {
    let unreadable = || {
        Error::Config("the URL of Redis can't be read; expected redis://user:password@host:port/0".to_owned())
    };
    let settings = url.expose().into_connection_info().map_err(|_| unreadable())?;
    if let ConnectionAddr::TcpTls { insecure: true, .. } = settings.addr() {
        return Err(Error::Config(
            "`#insecure` in the URL of Redis is refused; give the authority's certificate instead".to_owned(),
        ));
    }
    match certificates(config)? {
        Some(certificates) if is_encrypted(settings.addr()) => {
            let client = Client::build_with_tls(settings, certificates).map_err(|_| unreadable())?;
            Ok(client.get_connection_info().clone())
        }
        _ => Ok(settings),
    }
}

/// The same for a server that is spoken to for the sake of its data.
pub(super) fn parse_safe(config: &Config, url: &Secret) -> Result<ConnectionInfo, Error> {
    let settings = parse(config, url)?;
    refuse_clear(config.profile, settings.addr())?;
    Ok(settings)
}

/// The authorities of the settings, if there are any.
pub(super) fn certificates(config: &Config) -> Result<Option<TlsCertificates>, Error> {
    let Some(pem) = &config.ca_certificate else { return Ok(None) };
    // The driver takes a file without certificates for one without authorities.
    authorities(pem)?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(pem.clone().into_bytes()) }))
}

/// Production does not speak to another machine in the clear.
pub(super) fn refuse_clear(profile: Profile, address: &ConnectionAddr) -> Result<(), Error> {
    match address {
        ConnectionAddr::Tcp(host, _) if profile == Profile::Production && !is_local(host) => Err(Error::Config(
            "profile `production` does not speak to another machine in the clear; write rediss:// in the URL of Redis"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

fn is_encrypted(address: &ConnectionAddr) -> bool {
    matches!(address, ConnectionAddr::TcpTls { .. })
}

/// The same way of speaking, to another place.
pub(super) fn moved(address: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match address {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, profile: Profile) -> Option<String> {
        let mut config = Config::new(url);
        config.profile = profile;
        parse_safe(&config, &config.urls[0]).err().map(|error| error.to_string())
    }

    #[test]
    fn production_refuses_plaintext_to_another_machine_and_only_that() {
        for url in ["redis://h", "redis://:p@10.0.0.1:7000/3", "valkey://[2001:db8::1]"] {
            assert!(
                refused(url, Profile::Production).is_some_and(|text| text.contains("in the clear")),
                "{url}"
            );
            assert_eq!(refused(url, Profile::Development), None, "{url}");
        }
        for url in
            ["rediss://h", "valkeys://h:7", "redis://localhost", "redis://127.0.0.2:7/1", "redis://[::1]"]
        {
            assert_eq!(refused(url, Profile::Production), None, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_quoted() {
        for url in [
            "hunter2",
            "http://hunter2",
            "redis://:hunter2@h/x",
            "rediss://:hunter2@h/#insecure",
            "rediss://:hunter2@h/#x",
        ] {
            let said = refused(url, Profile::Development);
            assert!(said.as_ref().is_some_and(|text| !text.contains("hunter2")), "{url}: {said:?}");
        }
        let mut config = Config::new("rediss://h");
        for odd in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            config.ca_certificate = Some(odd.to_owned());
            assert!(matches!(parse(&config, &config.urls[0]), Err(Error::Config(_))), "{odd}");
        }
    }
}
