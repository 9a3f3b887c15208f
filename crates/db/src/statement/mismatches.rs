use tokio_postgres::types::{Kind, Type};

use super::Check;
use crate::error::{Error, described};
use crate::row::Column;
use crate::{Db, pool::Connection};

/// Prepares every statement against the migrated database, and compares it with what is declared. Returns what does not fit, a line
/// each:
/// - the types of parameters and columns;
/// - a column that can be null, where the declared type knows no null. That is known of a table's own columns; of expressions, of
///   views, and of what an outer join leaves empty it is not. Where the statement itself leaves out the nulls, say
///   `coalesce(column, ..)`;
/// - a tenants' table (one with a column `tenant_id` and row-level security) that is touched without `$tenant`. Row-level security
///   holds all the same; but the planner knows less, and no second lock is on the door. Views are looked through, functions are not.
///   Tables that the system role works on, by a policy whose name begins with `system`, are left out.
///
/// A statement that relies on row-level security alone says why in a comment: `-- without tenant: the report counts them all`.
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
        let lines =
            of_one(&connection, *statement).await.map_err(|error| Error::statement("mismatches", &error))?;
        found.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
    }
    connection.settled();
    Ok(found)
}

async fn of_one(
    connection: &Connection,
    statement: &dyn Check,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let prepared = match connection.client().prepare(&statement.sql()).await {
        Ok(prepared) => prepared,
        Err(error) if error.as_db_error().is_some() => return Ok(vec![described(&error)]),
        Err(error) => return Err(error),
    };
    let mut found = parameters(statement, prepared.params());
    for (at, column) in statement.columns().iter().enumerate() {
        found.extend(compared(connection, at, column, prepared.columns()).await?);
    }
    found.extend(tenants(connection, statement, prepared.params()).await?);
    Ok(found)
}

fn parameters(statement: &dyn Check, mut sent: &[Type]) -> Vec<String> {
    let mut found = Vec::new();
    if statement.takes_tenant() {
        match sent.split_first() {
            Some((ty, rest)) => {
                sent = rest;
                if *ty != Type::UUID {
                    found.push(format!("$tenant is {ty} on the server, and has to be uuid"));
                }
            }
            None => found.push("the server sees no $tenant".to_owned()),
        }
    }
    let declared = statement.parameters();
    if declared.len() != sent.len() {
        found.push(format!("declares {} parameters, the server counts {}", declared.len(), sent.len()));
    }
    for (at, (accepts, ty)) in declared.iter().zip(sent).enumerate() {
        if !accepts(ty) {
            found.push(format!("parameter {} is {ty} on the server", at + 1));
        }
    }
    found
}

async fn compared(
    connection: &Connection,
    at: usize,
    column: &Column,
    sent: &[tokio_postgres::Column],
) -> Result<Option<String>, tokio_postgres::Error> {
    let label = column.name.map_or_else(|| format!("#{at}"), str::to_owned);
    let sent = match column.name {
        Some(name) => sent.iter().find(|sent| sent.name() == name),
        None => sent.get(at),
    };
    Ok(match sent {
        None => Some(format!("column {label} is not returned")),
        Some(sent) if !(column.accepts)(sent.type_()) => {
            Some(format!("column {label} is {} on the server", sent.type_()))
        }
        Some(sent) if !(column.takes_null)(sent.type_()) && can_be_null(connection, sent).await? => {
            Some(format!("column {label} can be null on the server"))
        }
        Some(_) => None,
    })
}

/// Whether it is a table's own column that may hold a null. Of a view's columns the catalogue does not know.
async fn can_be_null(
    connection: &Connection,
    sent: &tokio_postgres::Column,
) -> Result<bool, tokio_postgres::Error> {
    const NULLABLE: &str = "
        select from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
         where a.attrelid = $1 and a.attnum = $2 and not a.attnotnull and c.relkind in ('r', 'p', 'f')";
    let (Some(table), Some(column)) = (sent.table_oid(), sent.column_id()) else { return Ok(false) };
    Ok(connection.client().query_opt(NULLABLE, &[&table, &column]).await?.is_some())
}

/// What a statement has to say that touches a tenants' table without `$tenant`.
const EXCUSE: &str = "-- without tenant: ";

async fn tenants(
    connection: &Connection,
    statement: &dyn Check,
    parameters: &[Type],
) -> Result<Option<String>, tokio_postgres::Error> {
    let excused =
        statement.sql().split_once(EXCUSE).is_some_and(|(_, reason)| !reason.trim_start().is_empty());
    if statement.takes_tenant() || (excused && !statement.fills()) {
        return Ok(None);
    }
    let tables = match tables_of_tenants(connection, &statement.sql(), parameters).await {
        Ok(tables) => tables,
        // A word such as LOCK or NOTIFY, which reads no rows.
        Err(error) if error.code().is_some_and(|code| code.code() == "0A000") => return Ok(None),
        Err(error) if error.as_db_error().is_some() => {
            return Ok(Some(format!("its tables can't be told: {}", described(&error))));
        }
        Err(error) => return Err(error),
    };
    let tables = tables.join(", ");
    Ok(match statement.fills() {
        _ if tables.is_empty() => None,
        true => Some(format!("the server refuses COPY into {tables}, which has row-level security")),
        false => Some(format!("touches {tables} without $tenant")),
    })
}

/// The tenants' tables that a statement touches, for which the server is asked to make a function of it: it notes what a function
/// depends on. The transaction takes it back.
async fn tables_of_tenants(
    connection: &Connection,
    sql: &str,
    parameters: &[Type],
) -> Result<Vec<String>, tokio_postgres::Error> {
    const TOUCHED: &str = "
        with recursive touched (oid) as (
            select refobjid from pg_catalog.pg_depend
             where classid = 'pg_catalog.pg_proc'::regclass and objid = 'pg_temp.shared_db_touches'::regproc
               and refclassid = 'pg_catalog.pg_class'::regclass
            union
            select inner_.refobjid from touched
              join pg_catalog.pg_rewrite on ev_class = touched.oid
              join pg_catalog.pg_depend inner_ on inner_.objid = pg_rewrite.oid
               and inner_.classid = 'pg_catalog.pg_rewrite'::regclass and inner_.refclassid = 'pg_catalog.pg_class'::regclass)
        select c.oid::regclass::text from touched join pg_catalog.pg_class c using (oid)
         where c.relrowsecurity
           and exists (select from pg_catalog.pg_attribute where attrelid = c.oid and attname = 'tenant_id' and not attisdropped)
           and not exists (select from pg_catalog.pg_policy where polrelid = c.oid and polname like 'system%')
         order by 1";
    let types: Vec<String> = parameters.iter().map(named).collect();
    let statement = sql.trim_end().trim_end_matches(';');
    let function = format!(
        "begin; create function pg_temp.shared_db_touches({}) returns void language sql begin atomic\n{statement}\n; end",
        types.join(", ")
    );
    let client = connection.client();
    let tables = match client.batch_execute(&function).await {
        Ok(()) => client.query(TOUCHED, &[]).await,
        Err(error) => Err(error),
    };
    client.batch_execute("rollback").await?;
    Ok(tables?.iter().map(|row| row.get(0)).collect())
}

/// A type as the server reads it.
fn named(ty: &Type) -> String {
    match ty.kind() {
        Kind::Array(member) => format!("{}[]", named(member)),
        _ => format!("\"{}\".\"{}\"", ty.schema(), ty.name()),
    }
}
