//! How an exclusive PostgreSQL differs from the usual one.

use std::fmt;

use crate::options::{Identity, Setting, Source, names};

/// What [`Postgres::exclusive_with`](crate::Postgres::exclusive_with) starts: which PostgreSQL, with which settings.
///
/// ```no_run
/// # async fn example() -> Result<(), shared_devkit::Error> {
/// use shared_devkit::{Postgres, PostgresOptions};
///
/// let options = PostgresOptions::bundled().version(16).setting("max_prepared_transactions", 10);
/// let server = Postgres::exclusive_with(options).await?;
/// # let _ = server;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct PostgresOptions {
    pub(super) settings: Vec<Setting>,
    pub(super) version: Option<u32>,
    pub(super) source: Source,
    pub(super) without_vector: bool,
    pub(super) tls: Option<Identity>,
}

impl PostgresOptions {
    /// The usual PostgreSQL, as [`Postgres::exclusive`](crate::Postgres::exclusive) starts it.
    pub fn new() -> PostgresOptions {
        PostgresOptions::default()
    }

    /// The newest installed PostgreSQL that has what is wanted; an error where none has.
    pub fn installed() -> PostgresOptions {
        PostgresOptions { source: Source::Installed, ..PostgresOptions::default() }
    }

    /// The bundled PostgreSQL, whatever is installed: 18, or with [`version`](PostgresOptions::version) 16.
    pub fn bundled() -> PostgresOptions {
        PostgresOptions { source: Source::Bundled, ..PostgresOptions::default() }
    }

    /// A line of `postgresql.conf`, without its quotes. Of two with the same name the later counts.
    ///
    /// The address, the port and the log are devkit's own. A server that refuses a setting does not start, and the
    /// error has its reason.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl fmt::Display) -> PostgresOptions {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// This major version, 15 or later. Several may run side by side.
    #[must_use]
    pub fn version(mut self, major: u32) -> PostgresOptions {
        self.version = Some(major);
        self
    }

    /// A PostgreSQL that has no pgvector, or an old one, will do.
    #[must_use]
    pub fn without_vector(mut self) -> PostgresOptions {
        self.without_vector = true;
        self
    }

    /// Lets clients connect with TLS; those without it are still served. The texts are PEM: the server's certificate,
    /// with those of its issuers behind it, and its private key.
    ///
    /// Needs an installed PostgreSQL: the bundled one has no TLS.
    #[must_use]
    pub fn tls(mut self, certificate: &str, key: &str) -> PostgresOptions {
        self.tls = Some(Identity::new(certificate, key));
        self
    }

    /// The lines for the server's configuration.
    pub(super) fn lines(&self) -> String {
        let quoted = |(name, value): &Setting| {
            format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''"))
        };
        self.settings.iter().map(quoted).collect()
    }
}

/// A setting may hold a password, and the key is one.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresOptions")
            .field("settings", &names(&self.settings))
            .field("version", &self.version)
            .field("source", &self.source)
            .field("without_vector", &self.without_vector)
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// As in "no PostgreSQL 17 with TLS".
impl fmt::Display for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}PostgreSQL", self.source)?;
        if let Some(version) = self.version {
            write!(formatter, " {version}")?;
        }
        let wishes = [(!self.without_vector, "pgvector 0.8 or later"), (self.tls.is_some(), "TLS")];
        let wishes: Vec<_> = wishes.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name).collect();
        if !wishes.is_empty() {
            write!(formatter, " with {}", wishes.join(" and "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::PostgresOptions;

    #[test]
    fn a_value_cannot_break_out_of_its_line() {
        let options =
            PostgresOptions::new().setting("application_name", r"it's \ here").setting("work_mem", "64");
        assert_eq!(options.lines(), "application_name = 'it''s \\\\ here'\nwork_mem = '64'\n");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let options = PostgresOptions::new().setting("primary_conninfo", "hidden").tls("hidden", "hidden");
        let shown = format!("{options:?} {options}");
        assert!(shown.contains("primary_conninfo") && !shown.contains("hidden"), "{shown}");
    }
}
