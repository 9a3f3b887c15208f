//! For the tests of crates that have statements and migrations.

use tokio_postgres::types::Type;

use crate::statement::Check;
use crate::{Db, Error};

/// Prepares every statement against the migrated database, and compares the parameters and columns with the
/// declared types. Returns what does not fit, a line each.
///
/// ```no_run
/// # use shared_db::{Check, Db};
/// # const STATEMENTS: &[(&str, &dyn Check)] = &[];
/// # async fn test(db: Db) {
/// assert_eq!(shared_db::testing::mismatches(&db, STATEMENTS).await.unwrap(), Vec::<String>::new());
/// # }
/// ```
///
/// # Errors
/// [`Error::Connect`] and the like; a statement that the server refuses is a line, not an error.
pub async fn mismatches(db: &Db, statements: &[(&str, &dyn Check)]) -> Result<Vec<String>, Error> {
    let mut connection = db.app().get().await?;
    connection.asks();
    let mut found = Vec::new();
    for (name, statement) in statements {
        match connection.client().prepare(statement.sql()).await {
            Ok(prepared) => compare(name, *statement, &prepared, &mut found),
            Err(error) => found.push(format!("{name}: {}", crate::error::described(&error))),
        }
    }
    connection.settled();
    Ok(found)
}

fn compare(name: &str, statement: &dyn Check, prepared: &tokio_postgres::Statement, found: &mut Vec<String>) {
    let mut parameters = prepared.params();
    if statement.takes_tenant() {
        match parameters.split_first() {
            Some((ty, rest)) => {
                parameters = rest;
                if *ty != Type::UUID {
                    found.push(format!("{name}: $tenant is {ty} on the server, and has to be uuid"));
                }
            }
            None => found.push(format!("{name}: the server sees no $tenant")),
        }
    }
    let declared = statement.parameters();
    if declared.len() != parameters.len() {
        found.push(format!(
            "{name}: declares {} parameters, the server counts {}",
            declared.len(),
            parameters.len()
        ));
    }
    for (at, (accepts, ty)) in declared.iter().zip(parameters).enumerate() {
        if !accepts(ty) {
            found.push(format!("{name}: parameter {} is {ty} on the server", at + 1));
        }
    }
    let columns = prepared.columns();
    for (at, column) in statement.columns().iter().enumerate() {
        let sent = match column.name {
            Some(name) => columns.iter().find(|sent| sent.name() == name),
            None => columns.get(at),
        };
        let label = column.name.map_or_else(|| format!("#{at}"), str::to_owned);
        match sent {
            None => found.push(format!("{name}: column {label} is not returned")),
            Some(sent) if !(column.accepts)(sent.type_()) => {
                found.push(format!("{name}: column {label} is {} on the server", sent.type_()));
            }
            Some(_) => {}
        }
    }
}
