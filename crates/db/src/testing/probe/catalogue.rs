//! What the catalogue says of the tables.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::{Oid, Type};

use super::session::{Session, failed};
use super::values::Kind;
use crate::config::{Config, Roles};
use crate::error::Error;

/// The tables of a database, by their numbers.
pub(super) struct Catalogue {
    pub(super) tables: BTreeMap<Oid, Table>,
}

pub(super) struct Table {
    pub(super) oid: Oid,
    /// As it stands in SQL.
    pub(super) name: String,
    pub(super) owner: String,
    /// The app role may do something with it.
    pub(super) is_open: bool,
    pub(super) columns: Vec<Column>,
    /// Check constraints and the bounds of partitions.
    pub(super) rules: Vec<Rule>,
    pub(super) uniques: Vec<Rule>,
    pub(super) references: Vec<Reference>,
}

pub(super) struct Column {
    pub(super) number: i16,
    /// As it stands in SQL.
    pub(super) name: String,
    /// The type, as it stands in SQL.
    pub(super) ty: String,
    pub(super) kind: Kind,
    /// The constraints of its domain.
    pub(super) rules: Vec<String>,
    /// Not null, and nobody fills it.
    pub(super) is_required: bool,
    /// Not null.
    pub(super) is_firm: bool,
    /// Neither generated nor always the sequence's.
    pub(super) is_free: bool,
    pub(super) app_inserts: bool,
    pub(super) app_updates: bool,
    pub(super) app_selects: bool,
}

/// A constraint or an index on some columns.
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) columns: Vec<i16>,
    /// What a check says.
    pub(super) text: String,
    /// A unique index of columns alone, for all rows, that is looked at with every statement.
    pub(super) is_plain: bool,
}

/// A foreign key.
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) here: Vec<i16>,
    pub(super) parent: Oid,
    pub(super) there: Vec<i16>,
}

const TABLES: &str = "
    select c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relowner::regrole::text,
           has_any_column_privilege($1::text, c.oid, 'SELECT, INSERT, UPDATE') or has_table_privilege($1::text, c.oid, 'DELETE, TRUNCATE')
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relpersistence <> 't'";

/// A domain counts as what it is made of, with the rules of all in between.
const COLUMNS: &str = "
    with recursive step as (
        select attrelid, attnum, atttypid as type, atttypmod as modifier from pg_attribute where attnum > 0 and not attisdropped
         union all
        select s.attrelid, s.attnum, t.typbasetype, case when t.typtypmod >= 0 then t.typtypmod else s.modifier end
          from step s join pg_type t on t.oid = s.type and t.typtype = 'd')
    select a.attrelid, a.attnum, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
           t.typname::text, t.typtype, t.typcategory, s.modifier,
           array(select enumlabel::text from pg_enum where enumtypid = t.oid order by enumsortorder),
           (select typname::text from pg_type where oid = t.typelem),
           array(select pg_get_constraintdef(d.oid) from pg_constraint d join step i on i.type = d.contypid
                  where i.attrelid = a.attrelid and i.attnum = a.attnum),
           n.is_firm and not a.atthasdef and a.attidentity = '', n.is_firm, a.attgenerated = '' and a.attidentity <> 'a',
           has_column_privilege($1::text, a.attrelid, a.attnum, 'INSERT'), has_column_privilege($1::text, a.attrelid, a.attnum, 'UPDATE'),
           has_column_privilege($1::text, a.attrelid, a.attnum, 'SELECT')
      from step s
      join pg_attribute a on a.attrelid = s.attrelid and a.attnum = s.attnum
      join pg_type t on t.oid = s.type and t.typtype <> 'd'
      join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
     cross join lateral (
           select a.attnotnull or bool_or(d.typnotnull) as is_firm from step i join pg_type d on d.oid = i.type
            where i.attrelid = a.attrelid and i.attnum = a.attnum) n
     order by a.attrelid, a.attnum";

const RULES: &str = "
    select conrelid, conname::text, conkey, pg_get_constraintdef(oid), false from pg_constraint
     where contype = 'c' and conrelid <> 0 and conkey is not null
     union all
    select p.partrelid, '', p.partattrs::int2[], pg_get_expr(c.relpartbound, c.oid), false
      from pg_partitioned_table p join pg_inherits i on i.inhparent = p.partrelid join pg_class c on c.oid = i.inhrelid
     union all
    select i.inhrelid, '',
           array(select own.attnum from pg_attribute own join pg_attribute above on above.attname = own.attname
                  where own.attrelid = i.inhrelid and above.attrelid = p.partrelid and above.attnum = any (p.partattrs)),
           pg_get_partition_constraintdef(i.inhrelid), false
      from pg_partitioned_table p join pg_inherits i on i.inhparent = p.partrelid";

const UNIQUES: &str = "
    select i.indrelid, c.relname::text, (i.indkey::int2[])[0:i.indnkeyatts - 1], null::text, i.indisunique and i.indpred is null and i.indexprs is null and i.indimmediate
      from pg_index i join pg_class c on c.oid = i.indexrelid
     where i.indisunique or i.indisexclusion";

const REFERENCES: &str = "
    select conrelid, conname::text, conkey, confrelid, confkey from pg_constraint where contype = 'f' and conparentid = 0";

impl Catalogue {
    pub(super) async fn read(config: &Config, roles: &Roles) -> Result<Self, Error> {
        let session = Session::open(config).await?;
        let ask = async |sql: &str| {
            let app: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] = match sql.contains("$1") {
                true => &[(&roles.app, Type::TEXT)],
                false => &[],
            };
            session.client().query_typed(sql, app).await.map_err(|error| failed(&error))
        };
        let mut tables: BTreeMap<Oid, Table> =
            ask(TABLES).await?.iter().map(|row| (row.get(0), table(row))).collect();
        for row in ask(COLUMNS).await? {
            tables.entry(row.get(0)).and_modify(|table| table.columns.push(column(&row)));
        }
        for row in ask(RULES).await? {
            tables.entry(row.get(0)).and_modify(|table| table.rules.push(rule(&row)));
        }
        for row in ask(UNIQUES).await? {
            tables.entry(row.get(0)).and_modify(|table| table.uniques.push(rule(&row)));
        }
        for row in ask(REFERENCES).await? {
            tables.entry(row.get(0)).and_modify(|table| table.references.push(reference(&row)));
        }
        Ok(Self { tables })
    }

    /// The tables whose rows belong to tenants.
    pub(super) fn probed(&self) -> impl Iterator<Item = &Table> {
        self.tables.values().filter(|table| table.is_tenants())
    }

    /// Some of them and all that they refer to, each behind those that it refers to as far as there is such an order.
    pub(super) fn in_order(&self, which: impl Fn(&Table) -> bool) -> Vec<&Table> {
        let (mut order, mut seen) = (Vec::new(), Vec::new());
        self.probed().filter(|table| which(table)).for_each(|table| self.visit(table, &mut order, &mut seen));
        order
    }

    fn visit<'a>(&'a self, table: &'a Table, order: &mut Vec<&'a Table>, seen: &mut Vec<Oid>) {
        if seen.contains(&table.oid) {
            return;
        }
        seen.push(table.oid);
        let parents = table.references.iter().filter_map(|reference| self.tables.get(&reference.parent));
        parents.for_each(|parent| self.visit(parent, order, seen));
        order.push(table);
    }

    /// The foreign keys from a table to tables of tenants.
    pub(super) fn references<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Reference> {
        let is_tenants = |parent| self.tables.get(parent).is_some_and(Table::is_tenants);
        table.references.iter().filter(move |reference| is_tenants(&reference.parent))
    }
}

impl Table {
    pub(super) fn is_tenants(&self) -> bool {
        self.tenant().is_some()
    }

    fn tenant(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.is_tenant())
    }

    pub(super) fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// Everything that a value of the column is held to.
    pub(super) fn rules_for(&self, column: &Column) -> Vec<String> {
        let mine = self.rules.iter().filter(|rule| rule.columns.contains(&column.number));
        mine.map(|rule| rule.text.clone()).chain(column.rules.iter().cloned()).collect()
    }
}

impl Column {
    pub(super) fn is_tenant(&self) -> bool {
        self.name == "tenant_id"
    }
}

fn table(row: &Row) -> Table {
    Table {
        oid: row.get(0),
        name: row.get(1),
        owner: row.get(2),
        is_open: row.get(3),
        columns: Vec::new(),
        rules: Vec::new(),
        uniques: Vec::new(),
        references: Vec::new(),
    }
}

fn column(row: &Row) -> Column {
    let letter = |at: usize| char::from(row.get::<_, i8>(at) as u8);
    Column {
        number: row.get(1),
        name: row.get(2),
        ty: row.get(3),
        kind: Kind {
            name: row.get(4),
            form: letter(5),
            category: letter(6),
            modifier: row.get(7),
            labels: row.get(8),
            element: row.get(9),
        },
        rules: row.get(10),
        is_required: row.get(11),
        is_firm: row.get(12),
        is_free: row.get(13),
        app_inserts: row.get(14),
        app_updates: row.get(15),
        app_selects: row.get(16),
    }
}

fn rule(row: &Row) -> Rule {
    let text: Option<String> = row.get(3);
    Rule { name: row.get(1), columns: row.get(2), text: text.unwrap_or_default(), is_plain: row.get(4) }
}

fn reference(row: &Row) -> Reference {
    Reference { name: row.get(1), here: row.get(2), parent: row.get(3), there: row.get(4) }
}
