//! The transaction in which everything is tried and nothing is kept.

use shared_core::TenantId;
use tokio_postgres::SimpleQueryMessage;

use crate::address::Address;
use crate::config::{Config, quoted};
use crate::direct::Direct;
use crate::error::{Error, described};

/// Whose rights and whose rows.
#[derive(Clone, Copy)]
pub(super) enum Who<'a> {
    /// The login of the URL, usually a superuser.
    Login,
    Role(&'a str, Option<TenantId>),
}

/// What the server answered to a statement.
pub(super) struct Ran {
    /// How many rows were touched or returned.
    pub(super) rows: u64,
    /// The first column of the first row.
    pub(super) value: Option<String>,
}

/// Why the server refused a statement.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) constraint: Option<String>,
    pub(super) message: String,
}

pub(super) struct Session(Direct);

/// The settings of the pools, and a bound on everything: a test's database is nobody else's, but may be.
const SETTINGS: &str = "search_path = public; SET standard_conforming_strings = on; \
     SET lock_timeout = '5s'; SET statement_timeout = '30s'";

impl Session {
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        let address = Address::new(config, config.owner_url())?;
        let direct = Direct::open(config, address, "shared-db probe").await?;
        direct.client.batch_execute(&format!("SET {SETTINGS}")).await.map_err(|error| failed(&error))?;
        Ok(Self(direct))
    }

    pub(super) fn client(&self) -> &tokio_postgres::Client {
        &self.0.client
    }

    /// Opens the transaction; it ends with the connection.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        self.control("BEGIN; SET CONSTRAINTS ALL IMMEDIATE").await
    }

    /// Runs a statement and undoes it.
    pub(super) async fn attempt(&self, who: Who<'_>, sql: &str) -> Result<Result<Ran, Refusal>, Error> {
        self.attempt_after("", who, sql).await
    }

    /// The same after others of the login's, which must not fail, and are undone as well.
    pub(super) async fn attempt_after(
        &self,
        others: &str,
        who: Who<'_>,
        sql: &str,
    ) -> Result<Result<Ran, Refusal>, Error> {
        self.control(&format!("SAVEPOINT probe; SET LOCAL ROLE NONE; {others}")).await?;
        self.control(&become_one("SET LOCAL", who)).await?;
        let done = self.ask(sql).await?;
        self.leave().await?;
        Ok(done)
    }

    /// The same, kept where it succeeds.
    pub(super) async fn keep(&self, who: Who<'_>, sql: &str) -> Result<Result<Ran, Refusal>, Error> {
        self.enter(who).await?;
        let done = self.ask(sql).await?;
        self.control(if done.is_ok() { "RELEASE probe" } else { "ROLLBACK TO probe; RELEASE probe" }).await?;
        Ok(done)
    }

    /// Opens a savepoint as somebody; until it is left.
    pub(super) async fn enter(&self, who: Who<'_>) -> Result<(), Error> {
        self.control(&format!("SAVEPOINT probe; {}", become_one("SET LOCAL", who))).await
    }

    pub(super) async fn leave(&self) -> Result<(), Error> {
        self.control("ROLLBACK TO probe; RELEASE probe").await
    }

    /// Becomes somebody for the rest of the session, outside of transactions.
    pub(super) async fn stay(&self, who: Who<'_>) -> Result<(), Error> {
        self.control(&become_one("SET", who)).await
    }

    async fn ask(&self, sql: &str) -> Result<Result<Ran, Refusal>, Error> {
        let messages = match self.client().simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => return refusal(&error).map(Err),
        };
        let mut ran = Ran { rows: 0, value: None };
        for message in messages {
            match message {
                SimpleQueryMessage::Row(row) => {
                    ran.value = ran.value.or_else(|| row.get(0).map(str::to_owned));
                }
                SimpleQueryMessage::CommandComplete(rows) => ran.rows = rows,
                _ => {}
            }
        }
        Ok(Ok(ran))
    }

    async fn control(&self, sql: &str) -> Result<(), Error> {
        self.client().batch_execute(sql).await.map_err(|error| failed(&error))
    }
}

fn become_one(set: &str, who: Who<'_>) -> String {
    match who {
        Who::Login => format!("{set} ROLE NONE"),
        Who::Role(role, tenant) => {
            let tenant = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
            // Back to the login first: one role may not take on another.
            format!("{set} ROLE NONE; {set} ROLE {}; {set} app.tenant_id = '{tenant}'", quoted(role))
        }
    }
}

/// What the server said, or else the connection's end.
pub(super) fn refusal(error: &tokio_postgres::Error) -> Result<Refusal, Error> {
    let Some(db) = error.as_db_error() else { return Err(failed(error)) };
    Ok(Refusal {
        code: db.code().code().to_owned(),
        constraint: db.constraint().map(str::to_owned),
        message: described(error),
    })
}

pub(super) fn failed(error: &tokio_postgres::Error) -> Error {
    Error::statement("probe", error)
}
