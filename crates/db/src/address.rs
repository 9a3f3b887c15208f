//! Where a database is, and how it is spoken to on the way there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use shared_core::Secret;
use shared_core::schema::Profile;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Config;
use crate::error::Error;

/// The driver's settings from a URL, and the TLS that goes with them.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) settings: tokio_postgres::Config,
    pub(crate) tls: MakeRustlsConnect,
}

impl Address {
    /// The settings in a URL, without ever quoting it.
    ///
    /// Encrypted is the same as verified: the certificate's chain and the host's name. Without `sslmode` a server on this
    /// machine is spoken to in the clear, and any other encrypted.
    pub(crate) fn new(config: &Config, url: &Secret) -> Result<Self, Error> {
        let (url, asked) = without_mode(url.expose());
        let mut settings: tokio_postgres::Config = url.parse().map_err(|_| {
            Error::Config("the URL can't be read; expected postgres://user:password@host/database".to_owned())
        })?;
        let mode = mode(asked.as_deref(), is_remote(&settings), config.profile)?;
        settings.ssl_mode(mode).connect_timeout(config.connect_timeout);
        notice_silence(&mut settings);
        let tls = MakeRustlsConnect::new(match mode {
            SslMode::Disable => client().with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
            _ => verifying(config)?,
        });
        Ok(Self { settings, tls })
    }
}

/// The mode is ours to read: the driver knows neither `verify-full` nor its own default's danger.
fn without_mode(url: &str) -> (String, Option<String>) {
    let Some((address, parameters)) = url.split_once('?') else { return (url.to_owned(), None) };
    let is_mode = |parameter: &&str| parameter.starts_with("sslmode=");
    let mode = parameters.split('&').find(is_mode).and_then(|parameter| parameter.split_once('='));
    let others: Vec<&str> = parameters.split('&').filter(|parameter| !is_mode(parameter)).collect();
    let url = if others.is_empty() { address.to_owned() } else { format!("{address}?{}", others.join("&")) };
    (url, mode.map(|(_, mode)| mode.to_owned()))
}

fn mode(asked: Option<&str>, remote: bool, profile: Profile) -> Result<SslMode, Error> {
    let mode = match asked {
        None if remote => SslMode::Require,
        None | Some("disable") => SslMode::Disable,
        Some("allow" | "prefer") => SslMode::Prefer,
        Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
        // Not quoted: a password that holds a `?` ends up here.
        Some(_) => {
            return Err(Error::Config(
                "`sslmode` is one of disable, prefer, require and verify-full".to_owned(),
            ));
        }
    };
    if remote && profile == Profile::Production && mode != SslMode::Require {
        return Err(Error::Config(
            "profile `production` does not speak to another machine in the clear; set `sslmode=verify-full`"
                .to_owned(),
        ));
    }
    Ok(mode)
}

/// Another machine than this one, as far as the URL tells.
fn is_remote(settings: &tokio_postgres::Config) -> bool {
    let named = settings.get_hosts().iter().any(|host| match host {
        Host::Tcp(name) => !is_local(name),
        #[cfg(unix)]
        Host::Unix(_) => false,
    });
    named || settings.get_hostaddrs().iter().any(|address| !address.is_loopback())
}

pub(crate) fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn client() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    match ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(builder) => builder,
        Err(_) => unreachable!("the provider has cipher suites for the default versions"),
    }
}

/// Believes the authorities of the settings alone, or else those of the system.
fn verifying(config: &Config) -> Result<ClientConfig, Error> {
    let Some(pem) = &config.ca_certificate else {
        return match client().with_platform_verifier() {
            Ok(builder) => Ok(builder.with_no_client_auth()),
            Err(error) => Err(Error::Config(format!("the system's certificates can't be read: {error}"))),
        };
    };
    Ok(client().with_root_certificates(authorities(pem)?).with_no_client_auth())
}

/// The certificates of authorities, of which there is at least one.
pub(crate) fn authorities(pem: &str) -> Result<RootCertStore, Error> {
    let unreadable = || Error::Config("the CA certificate can't be read; expected PEM".to_owned());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
    }
    match roots.is_empty() {
        true => Err(unreadable()),
        false => Ok(roots),
    }
}

/// A server that is gone without a word, such as after a failover, is noticed within a minute: at rest by keepalives,
/// under a request by the bound on what it may leave unacknowledged.
fn notice_silence(settings: &mut tokio_postgres::Config) {
    settings
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(url: &str, profile: Profile) -> Result<SslMode, Error> {
        let mut config = Config::new(url);
        config.profile = profile;
        Address::new(&config, &config.url).map(|address| address.settings.get_ssl_mode())
    }

    #[test]
    fn another_machine_is_spoken_to_encrypted_unless_somebody_says_otherwise() {
        let cases = [
            ("postgres://u@localhost/d", SslMode::Disable),
            ("postgres://u@127.0.0.9/d", SslMode::Disable),
            ("postgres://u@[::1]/d", SslMode::Disable),
            ("postgres:///d?host=/run/postgresql", SslMode::Disable),
            ("postgres://u@db.example/d", SslMode::Require),
            ("postgres://u@localhost,db.example/d", SslMode::Require),
            ("postgres://u@localhost/d?hostaddr=10.0.0.1", SslMode::Require),
            ("postgres://u@10.0.0.1/d?application_name=x", SslMode::Require),
            ("postgres://u@localhost/d?sslmode=verify-full", SslMode::Require),
            ("postgres://u@db.example/d?connect_timeout=3&sslmode=disable", SslMode::Disable),
            ("postgres://u@db.example/d?sslmode=prefer", SslMode::Prefer),
        ];
        for (url, expected) in cases {
            assert_eq!(mode_of(url, Profile::Development).ok(), Some(expected), "{url}");
        }
    }

    #[test]
    fn production_refuses_plaintext_to_another_machine_and_only_that() {
        for clear in ["disable", "prefer", "allow"] {
            let error = mode_of(&format!("postgres://u@db.example/d?sslmode={clear}"), Profile::Production);
            assert!(error.is_err_and(|error| error.to_string().contains("in the clear")), "{clear}");
            assert!(
                mode_of(&format!("postgres://u@localhost/d?sslmode={clear}"), Profile::Production).is_ok()
            );
        }
        assert_eq!(mode_of("postgres://u@db.example/d", Profile::Production).ok(), Some(SslMode::Require));
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_quoted() {
        for odd in ["postgres://u:hunter2@h/d?sslmode=hunter2", "postgres://u@h/d?sslmode="] {
            let error = mode_of(odd, Profile::Development).err().map(|error| error.to_string());
            assert!(error.is_some_and(|text| !text.contains("hunter2")), "{odd}");
        }
        let mut config = Config::new("postgres://u@db.example/d");
        for odd in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            config.ca_certificate = Some(odd.to_owned());
            assert!(matches!(Address::new(&config, &config.url), Err(Error::Config(_))), "{odd}");
        }
    }
}
