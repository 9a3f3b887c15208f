//! What a statement takes, where nothing that is prepared stays: behind a pooler.

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::pool::Client;
use crate::statement::Text;

/// The types of a statement's parameters, and whether it returns rows.
pub(crate) struct Described {
    pub(crate) types: Vec<Type>,
    pub(crate) returns_rows: bool,
}

/// Asks inside a transaction, during which a pooler stays with one server process, and takes back everything that was
/// prepared there for the answer.
pub(crate) async fn describe(client: Client<'_>, text: &Text<'_>) -> Result<Described, Error> {
    let statement = client.answer(text.name, client.prepare(text.sql)).await?;
    let (types, returns_rows) = (statement.params().to_vec(), !statement.columns().is_empty());
    client.answer(text.name, client.batch_execute("DEALLOCATE ALL")).await?;
    // The driver would prepare statements in the middle of the answer to learn of it, on whatever server process is next.
    if let Some(column) = statement.columns().iter().find(|column| !is_built_in(column.type_())) {
        let (name, kind) = (column.name(), column.type_());
        let reason = format!(
            "column `{name}` is {kind}, which can't be read behind a pooler; cast it, such as to text"
        );
        return Err(Error::unsent(text.name, reason));
    }
    Ok(Described { types, returns_rows })
}

impl Described {
    /// To learn of a type that is not its own the driver prepares statements, and goes on believing that they are there.
    pub(crate) fn has_spent_the_driver(&self) -> bool {
        !self.types.iter().all(is_built_in)
    }
}

/// Whether the driver knows the type without asking.
fn is_built_in(kind: &Type) -> bool {
    Type::from_oid(kind.oid()).is_some()
}
