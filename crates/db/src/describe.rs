//! What a statement takes, where nothing that is prepared stays: behind a pooler.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{Kind, Type};

use crate::error::Error;
use crate::statement::Text;

/// The types of a statement's parameters, and whether it returns rows.
pub(crate) struct Described {
    pub(crate) types: Vec<Type>,
    pub(crate) returns_rows: bool,
}

/// Asks inside a transaction, during which a pooler stays with one server process, and takes back everything that was
/// prepared there for the answer.
pub(crate) async fn describe(client: &ClientWrapper, text: &Text<'_>) -> Result<Described, Error> {
    let refused = |error| Error::statement(text.name, &error);
    let statement = client.prepare(text.sql).await.map_err(refused)?;
    let (types, returns_rows) = (statement.params().to_vec(), !statement.columns().is_empty());
    client.batch_execute("DEALLOCATE ALL").await.map_err(refused)?;
    Ok(Described { types, returns_rows })
}

impl Described {
    /// To learn of a type that is not its own the driver prepares statements, and goes on believing that they are there.
    pub(crate) fn has_spent_the_driver(&self) -> bool {
        self.types.iter().any(|kind| {
            Type::from_oid(kind.oid()).is_none() || !matches!(kind.kind(), Kind::Simple | Kind::Array(_))
        })
    }
}
