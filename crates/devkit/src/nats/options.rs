//! How an exclusive NATS server differs from the usual one.

use std::fmt;

use crate::options::{Identity, Setting, Source, names};

/// What [`Nats::exclusive_with`](crate::Nats::exclusive_with) starts: which NATS server, with which settings.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// use shared_devkit::{Nats, NatsOptions};
///
/// let options = NatsOptions::bundled().setting("max_payload", "16KB");
/// let server = Nats::exclusive_with(options).await?;
/// assert!(server.version().starts_with("2.15"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct NatsOptions {
    settings: Vec<Setting>,
    pub(super) source: Source,
    pub(super) tls: Option<Identity>,
}

impl NatsOptions {
    /// The usual NATS, as [`Nats::exclusive`](crate::Nats::exclusive) starts it.
    pub fn new() -> NatsOptions {
        NatsOptions::default()
    }

    /// An installed NATS server, 2.9 or later; an error where none is.
    pub fn installed() -> NatsOptions {
        NatsOptions { source: Source::Installed, ..NatsOptions::default() }
    }

    /// The bundled NATS 2.15, whatever is installed.
    pub fn bundled() -> NatsOptions {
        NatsOptions { source: Source::Bundled, ..NatsOptions::default() }
    }

    /// A setting at the outermost level of `nats.conf`, in that file's own writing, such as
    /// `.setting("mappings", "{ old: new }")`.
    ///
    /// The address, the port, the login and the store are devkit's own. A server that refuses a setting does not start,
    /// and the error has its reason.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl fmt::Display) -> NatsOptions {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Takes clients with TLS and no others: the URL begins with `tls://`. The texts are PEM: the server's certificate,
    /// with those of its issuers behind it, and its private key. Clients need no certificate.
    ///
    /// Devkit itself speaks no TLS: such a server has no [`namespace`](crate::Nats::namespace).
    #[must_use]
    pub fn tls(mut self, certificate: &str, key: &str) -> NatsOptions {
        self.tls = Some(Identity::new(certificate, key));
        self
    }

    /// The lines for the server's configuration.
    pub(super) fn lines(&self) -> String {
        self.settings.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }
}

/// A setting may hold a password, and the key is one.
impl fmt::Debug for NatsOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsOptions")
            .field("settings", &names(&self.settings))
            .field("source", &self.source)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::NatsOptions;

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?}", NatsOptions::new().setting("accounts", "hidden").tls("hidden", "hidden"));
        assert!(shown.contains("accounts") && !shown.contains("hidden"), "{shown}");
    }
}
