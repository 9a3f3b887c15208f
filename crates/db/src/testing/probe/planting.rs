//! Rows of arbitrary tables: composed from the catalogue, mended by what the server says against them.

use std::collections::HashMap;

use shared_core::TenantId;
use tokio_postgres::types::Oid;

use super::catalogue::{Catalogue, Column, Table};
use super::session::{Ran, Refusal, Session, Who};
use crate::error::Error;

/// Attempts at most to find values that a table takes. Each costs a round trip or two.
const ATTEMPTS: usize = 500;

/// The rows that were planted for one tenant, as the server writes them: `(a,1)`.
#[derive(Clone, Default)]
pub(super) struct Rows(HashMap<Oid, String>);

impl Rows {
    /// The row, as an expression of the table's type.
    pub(super) fn of(&self, table: &Table) -> Option<String> {
        self.0.get(&table.oid).map(|row| format!("({}::{})", literal(row), table.name))
    }

    /// Those of some tables.
    pub(super) fn only(&self, of: impl Fn(Oid) -> bool) -> Self {
        Self(self.0.iter().filter(|(oid, _)| of(**oid)).map(|(oid, row)| (*oid, row.clone())).collect())
    }
}

pub(super) struct Planter<'a> {
    pub(super) session: &'a Session,
    pub(super) catalogue: &'a Catalogue,
    pub(super) app: &'a str,
    /// Values that the user has given, as JSON, by table.
    pub(super) given: &'a HashMap<String, String>,
}

impl Planter<'_> {
    /// A row for the tenant, made like `like` as far as the table takes it, else of other values.
    pub(super) async fn plant(
        &self,
        table: &Table,
        tenant: TenantId,
        rows: &mut Rows,
        like: Option<&Rows>,
    ) -> Result<(), Error> {
        if rows.of(table).is_some() || self.adopt(table, tenant, rows).await? {
            return Ok(());
        }
        if let Some(row) = like.and_then(|like| like.of(table)) {
            let sql = insert(table, &self.copied(table, &row, Some(tenant), rows, |column| column.is_free));
            if let Ok(row) = self.insert(table, tenant, &sql).await? {
                rows.0.insert(table.oid, row);
                return Ok(());
            }
        }
        let row = self.compose(table, tenant, rows).await?;
        rows.0.insert(table.oid, row);
        Ok(())
    }

    /// Takes a row that is there: anybody's of a global table, the tenant's that a parent or a trigger has put there.
    async fn adopt(&self, table: &Table, tenant: TenantId, rows: &mut Rows) -> Result<bool, Error> {
        let which = if table.is_tenants() { format!("where tenant_id = '{tenant}'") } else { String::new() };
        let sql =
            format!("select \"planted row\"::text from {} as \"planted row\" {which} limit 1", table.name);
        let found = self.session.attempt(Who::Login, &sql).await?.ok().and_then(|ran| ran.value);
        let Some(row) = found else { return Ok(false) };
        rows.0.insert(table.oid, row);
        Ok(true)
    }

    async fn compose(&self, table: &Table, tenant: TenantId, rows: &Rows) -> Result<String, Error> {
        let refused = |reason: String| Error::NoRow { table: table.name.clone(), reason };
        let given = self.given_columns(table).await?;
        let mut draft = Draft::new(table, &given, self.referring(table, tenant, rows)).map_err(refused)?;
        for _ in 0..ATTEMPTS {
            match self.insert(table, tenant, &insert(table, &draft.values(table, tenant))).await? {
                Ok(row) => return Ok(row),
                Err(refusal) if draft.mend(table, &refusal) => {}
                Err(refusal) => return Err(refused(refusal.message)),
            }
        }
        Err(refused(format!("it refuses {ATTEMPTS} combinations of values")))
    }

    /// As the app role would; where that may not, as the login.
    async fn insert(
        &self,
        table: &Table,
        tenant: TenantId,
        sql: &str,
    ) -> Result<Result<String, Refusal>, Error> {
        let sql = format!("{sql} returning \"planted row\"::text");
        let mut done = self.session.keep(Who::Role(self.app, Some(tenant)), &sql).await?;
        if done.as_ref().is_err_and(|refusal| refusal.code == "42501") || !table.is_tenants() {
            done = self.session.keep(Who::Login, &sql).await?;
        }
        Ok(done.and_then(|Ran { value, .. }| {
            let message = "the server has put the row somewhere else".to_owned();
            value.ok_or(Refusal { code: String::new(), constraint: None, message })
        }))
    }

    /// The columns that the user has given values for, with those.
    async fn given_columns(&self, table: &Table) -> Result<Vec<(String, String)>, Error> {
        let Some(json) = self.given.get(&table.name) else { return Ok(Vec::new()) };
        let json = literal(json);
        let sql = format!(
            "select string_agg(quote_ident(key), chr(10)) from jsonb_object_keys({json}::jsonb) as key"
        );
        let refused = |reason| Error::NoRow { table: table.name.clone(), reason };
        let names =
            self.session.attempt(Who::Login, &sql).await?.map_err(|refusal| refused(refusal.message))?.value;
        let names: Vec<String> = names.unwrap_or_default().lines().map(str::to_owned).collect();
        if let Some(odd) = names.iter().find(|name| !table.columns.iter().any(|column| column.name == **name))
        {
            return Err(refused(format!("it has no column {odd}")));
        }
        let value =
            |name: &String| format!("(jsonb_populate_record(null::{}, {json}::jsonb)).{name}", table.name);
        Ok(names.iter().map(|name| (name.clone(), value(name))).collect())
    }

    /// The columns of foreign keys, with the values of the rows that are there to refer to.
    fn referring(&self, table: &Table, tenant: TenantId, rows: &Rows) -> Vec<(i16, Option<String>)> {
        let mut found = Vec::new();
        for reference in &table.references {
            let parent = self.catalogue.tables.get(&reference.parent);
            let row = parent.and_then(|parent| Some((parent, rows.of(parent)?)));
            for (here, there) in reference.here.iter().zip(&reference.there) {
                let tenants = table.column(*here).is_some_and(Column::is_tenant);
                let value = row
                    .as_ref()
                    .and_then(|(parent, row)| Some(format!("{row}.{}", parent.column(*there)?.name)));
                found.push((*here, if tenants { Some(format!("'{tenant}'::uuid")) } else { value }));
            }
        }
        found
    }

    /// A row with the values of `row`: of another tenant, and with the parents of these rows, as far as they are there.
    pub(super) fn copied(
        &self,
        table: &Table,
        row: &str,
        tenant: Option<TenantId>,
        parents: &Rows,
        wanted: impl Fn(&Column) -> bool,
    ) -> Vec<(String, String)> {
        let referring = tenant.map(|tenant| self.referring(table, tenant, parents)).unwrap_or_default();
        let value = |column: &Column| match tenant {
            Some(tenant) if column.is_tenant() => format!("'{tenant}'::uuid"),
            _ => {
                let parent =
                    referring.iter().find(|(number, value)| *number == column.number && value.is_some());
                parent
                    .and_then(|(_, value)| value.clone())
                    .unwrap_or_else(|| format!("{row}.{}", column.name))
            }
        };
        table
            .columns
            .iter()
            .filter(|column| wanted(column))
            .map(|column| (column.name.clone(), value(column)))
            .collect()
    }
}

/// A row that is being found.
struct Draft {
    columns: Vec<Drafted>,
    tenant: Option<String>,
}

struct Drafted {
    number: i16,
    name: String,
    /// What may be varied; a fixed expression is the only one.
    values: Vec<String>,
    at: usize,
}

impl Draft {
    /// With the columns that have to be filled, and those that are in a key.
    fn new(
        table: &Table,
        given: &[(String, String)],
        referring: Vec<(i16, Option<String>)>,
    ) -> Result<Self, String> {
        let mut draft = Self { columns: Vec::new(), tenant: None };
        for column in &table.columns {
            if column.is_tenant() {
                draft.tenant = Some(column.name.clone());
                continue;
            }
            let given = given.iter().find(|(name, _)| *name == column.name).map(|(_, value)| value.clone());
            let parents = referring
                .iter()
                .filter(|(number, _)| *number == column.number)
                .map(|(_, value)| value.clone());
            let parent = parents.reduce(Option::or);
            let is_key = table.uniques.iter().any(|unique| unique.columns.contains(&column.number));
            let values = match (given, parent) {
                (Some(given), _) => vec![given],
                (None, Some(Some(parent))) => vec![parent],
                // What it refers to comes later.
                (None, Some(None)) if !column.is_firm => continue,
                _ if column.is_free && (column.is_required || (is_key && !column.is_firm)) => {
                    free_values(table, column)?
                }
                _ => continue,
            };
            draft.columns.push(Drafted { number: column.number, name: column.name.clone(), values, at: 0 });
        }
        Ok(draft)
    }

    fn values(&self, table: &Table, tenant: TenantId) -> Vec<(String, String)> {
        let own =
            self.columns.iter().map(|drafted| (drafted.name.clone(), drafted.values[drafted.at].clone()));
        let tenant = self
            .tenant
            .iter()
            .filter(|_| table.is_tenants())
            .map(|name| (name.clone(), format!("'{tenant}'::uuid")));
        tenant.chain(own).collect()
    }

    /// Takes other values for the columns that the server complains of. False if there are none left, or it complains of something else.
    fn mend(&mut self, table: &Table, refusal: &Refusal) -> bool {
        // Values that are wrong in themselves, out of a rule, or taken.
        let is_wrong = refusal.code.starts_with("22");
        if !is_wrong && !matches!(refusal.code.as_str(), "23514" | "23505" | "23P01") {
            return false;
        }
        let rules = table.rules.iter().chain(&table.uniques);
        // The bounds of partitions are rules without a name, and so are the server's complaints of them.
        let name = refusal.constraint.as_deref().unwrap_or_default();
        let broken = rules.filter(|rule| rule.name == name && !is_wrong).map(|rule| &rule.columns).next();
        let concerned =
            self.columns.iter_mut().filter(|one| broken.is_none_or(|columns| columns.contains(&one.number)));
        // As on an odometer.
        for drafted in concerned {
            drafted.at += 1;
            if drafted.at < drafted.values.len() {
                return true;
            }
            drafted.at = 0;
        }
        false
    }
}

fn free_values(table: &Table, column: &Column) -> Result<Vec<String>, String> {
    let values = column.kind.candidates(&table.rules_for(column));
    if values.is_empty() {
        return Err(format!("no value of type {} for its column {} comes to mind", column.ty, column.name));
    }
    Ok(values.iter().map(|value| format!("{}::{}", literal(value), column.ty)).collect())
}

/// An INSERT of one row, which its caller may go on with; these are all its columns.
pub(super) fn insert(table: &Table, values: &[(String, String)]) -> String {
    if values.is_empty() {
        return format!("insert into {} as \"planted row\" default values", table.name);
    }
    let (names, values): (Vec<&str>, Vec<&str>) =
        values.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
    format!(
        "insert into {} as \"planted row\" ({}) values ({})",
        table.name,
        names.join(", "),
        values.join(", ")
    )
}

/// A text in quotes, whatever is in it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
