//! What must hold of a database before a service may use it.

use crate::{Door, Error, statements};

statements! {
    const ROLE: Statement<(), (String, bool)> = "
        select current_user::text, rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user";
    const ESCAPED: Statement<(), String> = "
        select c.oid::regclass::text from pg_catalog.pg_class c
         where c.relrowsecurity and not c.relforcerowsecurity and c.relkind in ('r', 'p')
         order by 1 limit 20";
}

/// The roles in use obey row-level security, and so do the owners of the tables that have policies.
pub(crate) async fn check(doors: &[Door]) -> Result<(), Error> {
    for door in doors {
        let (role, bypasses) = door.one(&ROLE, ()).await?;
        if bypasses {
            return Err(Error::Unsafe(format!(
                "role {role} bypasses row-level security; run `alter role {role} nosuperuser nobypassrls`"
            )));
        }
    }
    let Some(door) = doors.first() else { return Ok(()) };
    let escaped = door.all(&ESCAPED, ()).await?;
    match escaped.first() {
        None => Ok(()),
        Some(table) => Err(Error::Unsafe(format!(
            "{} has policies that its owner escapes; run `alter table {table} force row level security`",
            escaped.join(", ")
        ))),
    }
}
