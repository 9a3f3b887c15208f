//! How an exclusive Redis differs from the usual one.

use std::fmt;

use crate::options::{Identity, Setting, Source, names};

/// What [`Redis::exclusive_with`](crate::Redis::exclusive_with) and
/// [`RedisCluster::exclusive_with`](crate::RedisCluster::exclusive_with) start: which Redis, with which settings.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// use shared_devkit::{Redis, RedisOptions};
///
/// let options = RedisOptions::bundled().setting("maxmemory", "4mb").setting("maxmemory-policy", "noeviction");
/// let server = Redis::exclusive_with(options).await?;
/// assert!(server.version().starts_with("6.2"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct RedisOptions {
    settings: Vec<Setting>,
    pub(super) version: Option<u32>,
    pub(super) source: Source,
    pub(super) tls: Option<Identity>,
}

impl RedisOptions {
    /// The usual Redis, as [`Redis::exclusive`](crate::Redis::exclusive) starts it.
    pub fn new() -> RedisOptions {
        RedisOptions::default()
    }

    /// The newest installed Redis or Valkey that has what is wanted; an error where none has.
    pub fn installed() -> RedisOptions {
        RedisOptions { source: Source::Installed, ..RedisOptions::default() }
    }

    /// The bundled Redis 6.2, whatever is installed.
    pub fn bundled() -> RedisOptions {
        RedisOptions { source: Source::Bundled, ..RedisOptions::default() }
    }

    /// A line of `redis.conf`, with its quotes where it needs them. Of two with the same name the later counts, also
    /// against devkit's own.
    ///
    /// A server that refuses a setting does not start, and the error says why.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl fmt::Display) -> RedisOptions {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// This major version, 6 or later; the bundle has 6. Several may run side by side.
    #[must_use]
    pub fn version(mut self, major: u32) -> RedisOptions {
        self.version = Some(major);
        self
    }

    /// Takes clients with TLS: the URL begins with `rediss://`. The texts are PEM: the server's certificate, with those
    /// of its issuers behind it, and its private key. Clients need no certificate. Devkit itself uses another port,
    /// without TLS, which the URL does not lead to.
    ///
    /// Needs an installed Redis: the bundled one has no TLS. A cluster cannot have it.
    #[must_use]
    pub fn tls(mut self, certificate: &str, key: &str) -> RedisOptions {
        self.tls = Some(Identity::new(certificate, key));
        self
    }

    /// The lines for the server's configuration.
    pub(super) fn lines(&self) -> String {
        self.settings.iter().map(|(name, value)| format!("{name} {value}\n")).collect()
    }
}

/// A setting may hold a password, and the key is one.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisOptions")
            .field("settings", &names(&self.settings))
            .field("version", &self.version)
            .field("source", &self.source)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// As in "no installed Redis 7 with TLS".
impl fmt::Display for RedisOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}Redis", self.source)?;
        if let Some(version) = self.version {
            write!(formatter, " {version}")?;
        }
        formatter.write_str(if self.tls.is_some() { " with TLS" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::RedisOptions;

    #[test]
    fn nothing_secret_is_shown() {
        let options = RedisOptions::installed().setting("masterauth", "hidden").tls("hidden", "hidden");
        let shown = format!("{options:?} {options}");
        assert!(shown.contains("masterauth") && !shown.contains("hidden"), "{shown}");
        assert!(shown.ends_with("installed Redis with TLS"), "{shown}");
    }
}
