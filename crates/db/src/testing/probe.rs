//! Tries, as one tenant, every way to touch another's rows, on a schema of anybody's.

mod attempts;
mod catalogue;
mod planting;
mod probed;
mod session;
mod values;

use std::collections::HashMap;
use std::future::IntoFuture;

use futures_util::future::BoxFuture;

pub use probed::{Outcome, Probed, Verb};

use self::attempts::Attempts;
use self::catalogue::Catalogue;
use crate::config::Config;
use crate::error::Error;

/// Tries, as tenant B, to touch the rows of tenant A in every table that has a `tenant_id`: each [`Verb`] in each table.
///
/// It plants a row for A itself, and for B, with values that it reads off the catalogue: types, enums, domains, foreign keys, check
/// constraints. All of it happens in a transaction that is rolled back; sequences move on. `DATABASE_OWNER_URL`, by default
/// `DATABASE_URL`, has to be a superuser's or a login that may take on the owner and app roles and write what the app role may not:
/// a database of a test.
///
/// ```no_run
/// # use shared_db::Config;
/// use shared_db::testing::probe_isolation;
///
/// # async fn test(config: Config) {
/// let probed = probe_isolation(&config)
///     .row("notes.note", r#"{"body": "a title"}"#) // only where it can't find values itself
///     .await
///     .unwrap();
/// assert!(probed.is_isolated(), "{probed}");
/// # }
/// ```
///
/// # Errors
/// [`Error::NoRow`] for a table that it can't make a row for, with the reason; [`Error::Config`] if there is no table to probe, or one
/// that was named is not there; those of the connection.
pub fn probe_isolation(config: &Config) -> Probe {
    Probe { config: config.clone(), rows: HashMap::new(), exempt: Vec::new() }
}

/// A probe being put together. See [`probe_isolation`].
#[must_use = "a probe does nothing until it is awaited"]
#[derive(Clone, Debug)]
pub struct Probe {
    config: Config,
    rows: HashMap<String, String>,
    exempt: Vec<Exempt>,
}

/// A way into a table that is left open for a reason.
#[derive(Clone, Debug)]
struct Exempt {
    table: String,
    verb: Verb,
    reason: String,
}

impl Probe {
    /// Values for the row that is planted in this table, as a JSON object by the names of columns; the others are found as
    /// usual. The tenant is always the probe's.
    pub fn row(mut self, table: &str, json: &str) -> Self {
        self.rows.insert(table.to_owned(), json.to_owned());
        self
    }

    /// Lets a failure pass, for a reason that the report shows. One that nothing needs is a failure itself.
    pub fn exempt(mut self, table: &str, verb: Verb, reason: &str) -> Self {
        self.exempt.push(Exempt { table: table.to_owned(), verb, reason: reason.to_owned() });
        self
    }

    async fn run(self) -> Result<Probed, Error> {
        let roles = self.config.roles()?;
        let catalogue = Catalogue::read(&self.config, &roles).await?;
        if catalogue.probed().next().is_none() {
            return Err(Error::Config("there is no table with a tenant_id to probe".to_owned()));
        }
        for name in self.rows.keys().chain(self.exempt.iter().map(|exempt| &exempt.table)) {
            if !catalogue.tables.values().any(|table| table.name == *name) {
                return Err(Error::Config(format!("there is no table {name} to probe")));
            }
        }
        let mut probed = Attempts::open(&self.config, &roles, &catalogue, &self.rows).await?.all().await?;
        self.exempt
            .into_iter()
            .for_each(|Exempt { table, verb, reason }| probed.exempt(&table, verb, reason));
        Ok(probed)
    }
}

impl IntoFuture for Probe {
    type Output = Result<Probed, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
