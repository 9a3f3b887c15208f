use std::time::Duration;

use shared_core::schema::Profile;
use shared_core::{Config as Schema, Secret};
use validator::Validate;

use crate::error::Error;

/// How a program reaches its database.
///
/// One URL is enough for development: bootstrap makes the five [`Roles`] and every connection takes on the one it
/// needs. In production the migrating program has `DATABASE_OWNER_URL`, and the others log in with users that
/// are members of the app role, and of the system and across roles, alone.
#[derive(Clone, Debug, Schema, Validate)]
pub struct Config {
    /// What the program runs for: `production` refuses to speak to another machine in the clear.
    pub profile: Profile,
    /// Where the database is: `postgres://user:password@host/database`. Another machine than this one is spoken to
    /// encrypted, with its certificate and name verified; `sslmode=disable` ends that.
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
    /// The same past a pooler, for those who listen to notifications. Default: `DATABASE_URL`.
    #[config(env = "DATABASE_DIRECT_URL", url("postgres", "postgresql"))]
    pub direct_url: Option<Secret>,
    /// Read replicas of the same database, separated by commas. Reads go there that ask for it.
    #[config(env = "DATABASE_REPLICA_URLS", default = "", url("postgres", "postgresql"))]
    pub replica_urls: Vec<Secret>,
    /// How often each replica is asked how far it is. 100 ms: a replica that is up to date is known to lag by no more.
    #[config(default = "100ms", min = "1ms", max = "1m")]
    pub replica_poll: Duration,
    /// The authorities whose certificates the server may show, as PEM. Default: those of the system.
    #[config(env = "DATABASE_CA_CERTIFICATE", expected = "certificates as PEM")]
    pub ca_certificate: Option<String>,
    /// Connections at most, of the app and of the system role each. 10 keep a server of 4 cores busy.
    #[config(default = "10")]
    #[validate(range(min = 1, max = 1000))]
    pub pool_size: u32,
    /// How long a caller waits for a connection before it is told that none is free. 5 s is longer than any
    /// healthy queue, and shorter than the patience of a caller.
    #[config(default = "5s")]
    pub pool_timeout: Duration,
    /// The name of the pools in metrics, with the role behind it. Default: the database's. A program with two
    /// databases, or two schemas, has a `Db` for each, and names them.
    pub pool_name: Option<String>,
    /// The schema where names without one are looked for, before `public`: lower-case letters, digits and `_`. Default:
    /// `public` alone, since statements name their schemas. It is for SQL that can't, such as a tool's.
    pub search_schema: Option<String>,
    /// How long a connection lives at most; a random tenth less, so that not all end together. 30 minutes: what a
    /// session has gathered in memory is given back, and servers that were added get their share.
    #[config(default = "30m")]
    pub pool_lifetime: Duration,
    /// How long a connection may lie unused. 10 minutes outlive the pauses of a working day's traffic.
    #[config(default = "10m")]
    pub pool_idle: Duration,
    /// Whether the URLs lead to a pooler in transaction mode, such as PgBouncer. Nothing is then kept on a connection:
    /// role and settings go with each transaction, and statements are not prepared. Migrations and
    /// LISTEN need `DATABASE_OWNER_URL` and `DATABASE_DIRECT_URL` to lead to the server itself.
    #[config(default = "false")]
    pub pooler: bool,
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
    /// A prefix that the five roles share: letters, digits, `_` and `-`. Databases of one server share its roles.
    #[config(default = "shared")]
    #[validate(length(min = 1, max = 40))]
    pub role_prefix: String,
}

impl Config {
    /// Everything at its default, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            profile: Profile::Development,
            url: Secret::new(url),
            system_url: None,
            owner_url: None,
            direct_url: None,
            replica_urls: Vec::new(),
            replica_poll: Duration::from_millis(100),
            ca_certificate: None,
            pool_size: 10,
            pool_timeout: Duration::from_secs(5),
            pool_name: None,
            search_schema: None,
            pool_lifetime: Duration::from_secs(30 * 60),
            pool_idle: Duration::from_secs(10 * 60),
            pooler: false,
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

    /// What a session's search path is. It goes into start-up options, where nothing can be quoted.
    pub(crate) fn search_path(&self) -> Result<String, Error> {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        match &self.search_schema {
            // Extensions lie there.
            None => Ok("public".to_owned()),
            Some(schema) if !schema.is_empty() && schema.len() <= 63 && schema.chars().all(fits) => {
                Ok(format!("{schema},public"))
            }
            Some(_) => Err(Error::Config(
                "the search schema has 1 to 63 lower-case letters, digits and `_`".to_owned(),
            )),
        }
    }

    pub(crate) fn system_url(&self) -> &Secret {
        self.system_url.as_ref().unwrap_or(&self.url)
    }

    pub(crate) fn owner_url(&self) -> &Secret {
        self.owner_url.as_ref().unwrap_or(&self.url)
    }
}

/// The names of the five roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Owns the schemas and migrates them.
    pub owner: String,
    /// Requests and handlers: sees the rows of the tenant that is set, and no others.
    pub app: String,
    /// Claim, relay and prune: sees all rows of the family's own tables, and no business table.
    pub system: String,
    /// Reports and repairs: sees the business rows of all tenants, through [`Db::across_tenants`](crate::Db::across_tenants)
    /// alone.
    pub across: String,
    /// Owns search functions; nobody can log in as it.
    pub definer: String,
}

impl Roles {
    /// `{prefix}_owner`, `{prefix}_app`, `{prefix}_system`, `{prefix}_across` and `{prefix}_definer`.
    pub fn with_prefix(prefix: &str) -> Self {
        let name = |role: &str| format!("{prefix}_{role}");
        Self {
            owner: name("owner"),
            app: name("app"),
            system: name("system"),
            across: name("across"),
            definer: name("definer"),
        }
    }

    /// What stands for each name in the text of a migration.
    pub(crate) fn marks(&self) -> [(&'static str, &str); 5] {
        [
            ("{owner}", &self.owner),
            ("{app}", &self.app),
            ("{system}", &self.system),
            ("{across}", &self.across),
            ("{definer}", &self.definer),
        ]
    }

    /// Writes the names in place of the marks.
    pub(crate) fn write_into(&self, sql: &str) -> String {
        self.marks().iter().fold(sql.to_owned(), |sql, (mark, name)| sql.replace(mark, &quoted(name)))
    }
}

/// An identifier in quotes, whatever is in it.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
