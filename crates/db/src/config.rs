use std::time::Duration;

use shared_core::{Config as Schema, Secret};
use validator::Validate;

use crate::error::Error;

/// How a program reaches its database.
///
/// One URL is enough for development: bootstrap makes the four [`Roles`] and every connection takes on the one it
/// needs. In production the migrating program has `DATABASE_OWNER_URL`, and the others log in with users that
/// are members of the app and system roles alone.
#[derive(Clone, Debug, Schema, Validate)]
pub struct Config {
    /// Where the database is: `postgres://user:password@host/database`.
    #[config(
        env = "DATABASE_URL",
        url("postgres", "postgresql"),
        hint = "set it, or run `shared-devkit up`"
    )]
    pub url: Secret,
    /// The same for the relay, the workers' claims and other work on the family's own tables. Default: `DATABASE_URL`.
    #[config(env = "DATABASE_SYSTEM_URL", url("postgres", "postgresql"))]
    pub system_url: Option<Secret>,
    /// The same for migrations, with the right to create roles and schemas. Default: `DATABASE_URL`.
    #[config(env = "DATABASE_OWNER_URL", url("postgres", "postgresql"))]
    pub owner_url: Option<Secret>,
    /// Connections at most, of the app and of the system role each. 10 keep a server of 4 cores busy.
    #[config(default = "10")]
    #[validate(range(min = 1, max = 1000))]
    pub pool_size: u32,
    /// How long a caller waits for a connection before it is told that none is free. 5 s is longer than any
    /// healthy queue, and shorter than the patience of a caller.
    #[config(default = "5s")]
    pub pool_timeout: Duration,
    /// How long opening a connection may take. 5 s covers a server under load, and fails before a probe does.
    #[config(default = "5s")]
    pub connect_timeout: Duration,
    /// How long a statement may run on the server before it is ended. 30 s is an age for a request.
    #[config(default = "30s")]
    pub statement_timeout: Duration,
    /// How long a transaction may lie open without a statement before the server ends it. 60 s is long enough
    /// for a call to another service, and short enough that locks and old rows do not pile up.
    #[config(default = "60s")]
    pub idle_in_transaction_timeout: Duration,
    /// A prefix that the four roles share: letters, digits, `_` and `-`. Databases of one server share its roles.
    #[config(default = "shared")]
    #[validate(length(min = 1, max = 40))]
    pub role_prefix: String,
}

impl Config {
    /// Everything at its default, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            system_url: None,
            owner_url: None,
            pool_size: 10,
            pool_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(60),
            role_prefix: "shared".to_owned(),
        }
    }

    /// The names are written into migrations, also into the text of their functions, where nothing else is safe.
    pub(crate) fn roles(&self) -> Result<Roles, Error> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        if self.role_prefix.is_empty() || self.role_prefix.len() > 40 || !self.role_prefix.chars().all(fits) {
            return Err(Error::Config("the role prefix has 1 to 40 letters, digits, `_` and `-`".to_owned()));
        }
        Ok(Roles::with_prefix(&self.role_prefix))
    }

    pub(crate) fn system_url(&self) -> &Secret {
        self.system_url.as_ref().unwrap_or(&self.url)
    }

    pub(crate) fn owner_url(&self) -> &Secret {
        self.owner_url.as_ref().unwrap_or(&self.url)
    }
}

/// The names of the four roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Owns the schemas and migrates them.
    pub owner: String,
    /// Requests and handlers: sees the rows of the tenant that is set, and no others.
    pub app: String,
    /// Claim, relay and prune: sees all rows of the family's own tables, and no business table.
    pub system: String,
    /// Owns search functions; nobody can log in as it.
    pub definer: String,
}

impl Roles {
    /// `{prefix}_owner`, `{prefix}_app`, `{prefix}_system` and `{prefix}_definer`.
    pub fn with_prefix(prefix: &str) -> Self {
        let name = |role: &str| format!("{prefix}_{role}");
        Self { owner: name("owner"), app: name("app"), system: name("system"), definer: name("definer") }
    }

    /// Writes the names in place of `{owner}`, `{app}`, `{system}` and `{definer}` in the text of a migration.
    pub(crate) fn write_into(&self, sql: &str) -> String {
        let roles = [
            ("{owner}", &self.owner),
            ("{app}", &self.app),
            ("{system}", &self.system),
            ("{definer}", &self.definer),
        ];
        roles.iter().fold(sql.to_owned(), |sql, (mark, name)| sql.replace(mark, &quoted(name)))
    }
}

/// An identifier in quotes, whatever is in it.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
