//! The attempts themselves.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::TryStreamExt;
use shared_core::TenantId;

use super::catalogue::{Catalogue, Column, Reference, Table};
use super::planting::{Planter, Rows, insert};
use super::probed::{Outcome, Probed, Verb};
use super::session::{Ran, Refusal, Session, Who, refusal};
use crate::config::{Config, Roles, quoted};
use crate::error::Error;

pub(super) struct Attempts<'a> {
    config: &'a Config,
    app: &'a str,
    catalogue: &'a Catalogue,
    session: Session,
    given: &'a HashMap<String, String>,
    a: TenantId,
    b: TenantId,
    rows: Rows,
    probed: Probed,
}

type Answer = Result<Ran, Refusal>;

impl<'a> Attempts<'a> {
    pub(super) async fn open(
        config: &'a Config,
        roles: &'a Roles,
        catalogue: &'a Catalogue,
        given: &'a HashMap<String, String>,
    ) -> Result<Self, Error> {
        Ok(Self {
            config,
            app: &roles.app,
            catalogue,
            session: Session::open(config).await?,
            given,
            a: TenantId::new(),
            b: TenantId::new(),
            rows: Rows::default(),
            probed: Probed::default(),
        })
    }

    /// First those that B makes with empty hands, while A has rows everywhere; then those for which B needs rows as well.
    pub(super) async fn all(mut self) -> Result<Probed, Error> {
        let catalogue = self.catalogue;
        self.session.begin().await?;
        let mut rows = Rows::default();
        // Where the app role may do nothing, it does not matter what is there.
        for table in catalogue.in_order(|table| table.is_open) {
            self.planter().plant(table, self.a, &mut rows, None).await?;
        }
        self.rows = rows;
        for table in catalogue.probed() {
            self.read(table).await?;
            self.write(table).await?;
            self.copy(table).await?;
            self.refer(table).await?;
        }
        let mut own = self.rows_of_all();
        for table in catalogue.in_order(|_| true) {
            if table.is_tenants() {
                self.repeat(table, &own).await?;
            }
            if self.rows.of(table).is_some() {
                self.planter().plant(table, self.b, &mut own, Some(&self.rows)).await?;
            }
            if table.is_tenants() {
                self.give_away(table).await?;
            }
        }
        Ok(self.probed)
    }

    fn planter(&self) -> Planter<'_> {
        Planter { session: &self.session, catalogue: self.catalogue, app: self.app, given: self.given }
    }

    /// The planted rows that belong to nobody.
    fn rows_of_all(&self) -> Rows {
        self.rows.only(|oid| self.catalogue.tables.get(&oid).is_some_and(|table| !table.is_tenants()))
    }

    async fn as_b(&self, sql: &str) -> Result<Answer, Error> {
        self.session.attempt(self.b(), sql).await
    }

    fn b(&self) -> Who<'a> {
        Who::Role(self.app, Some(self.b))
    }

    fn note(&mut self, table: &Table, verb: Verb, answer: &Answer, outcome: Outcome) {
        self.probed.add(&table.name, verb, outcome);
        if let (Outcome::Untried, Err(refusal)) = (outcome, answer) {
            self.probed.remark(format!("{}: {verb} could not be tried: {}", table.name, refusal.message));
        }
    }

    async fn read(&mut self, table: &Table) -> Result<(), Error> {
        let sql = format!("select count(*) from {}", table.name);
        for (verb, tenant) in [(Verb::Select, Some(self.b)), (Verb::Untenanted, None)] {
            let done = self.session.attempt(Who::Role(self.app, tenant), &sql).await?;
            let seen = |ran: &Ran| ran.value.as_deref() != Some("0");
            self.note(table, verb, &done, judge(&done, seen));
        }
        Ok(())
    }

    async fn write(&mut self, table: &Table) -> Result<(), Error> {
        let touched = |ran: &Ran| ran.rows > 0;
        let name = &table.name;
        let forged = insert(table, &self.forged(table));
        let [change, blind] = changes(table).map(|change| format!("update {name} set {change}"));
        let delete = format!("delete from {name}");
        let mut attempts = vec![
            (Verb::Insert, forged.clone()),
            (Verb::Update, change.clone()),
            (Verb::Update, blind),
            (Verb::Delete, delete.clone()),
            (Verb::Returning, format!("{forged} returning *")),
            (Verb::Returning, format!("{change} returning *")),
            (Verb::Returning, format!("{delete} returning *")),
        ];
        attempts.extend(on_conflict(table).map(|clause| (Verb::Upsert, format!("{forged} {clause}"))));
        for (verb, sql) in attempts {
            let answer = self.as_b(&sql).await?;
            self.note(table, verb, &answer, judge(&answer, touched));
        }
        let answer = self.as_b(&format!("{forged} on conflict do nothing")).await?;
        // Where the policies let it pass, a conflict makes it do nothing, and says so.
        let outcome = judge(&answer, touched);
        let outcome = if outcome == Outcome::Nothing { Outcome::Told } else { outcome };
        self.note(table, Verb::Upsert, &answer, outcome);
        let answer = self.as_b(&format!("truncate {name}")).await?;
        // Past the rights a foreign key may still be in the way.
        let let_in = answer.as_ref().is_err_and(|refusal| refusal.code == "0A000");
        let outcome = if let_in { Outcome::Touched } else { judge(&answer, |_| true) };
        self.note(table, Verb::Truncate, &answer, outcome);
        Ok(())
    }

    /// A's row once more, as B.
    fn forged(&self, table: &Table) -> Vec<(String, String)> {
        let Some(row) = self.rows.of(table) else { return Vec::new() };
        self.planter().copied(table, &row, None, &Rows::default(), app_inserts)
    }

    async fn copy(&mut self, table: &Table) -> Result<(), Error> {
        self.session.enter(self.b()).await?;
        let answer = copied_out(&self.session, table).await?;
        self.session.leave().await?;
        self.note(table, Verb::CopyTo, &answer, judge(&answer, |ran| ran.rows > 0));
        // On a connection of its own: behind a COPY that is refused the driver takes one answer for another.
        let session = Session::open(self.config).await?;
        session.stay(self.b()).await?;
        let answer = copied_in(&session, table).await?;
        // Row-level security does not hold for whoever may do this.
        self.note(table, Verb::CopyFrom, &answer, judge(&answer, |_| true));
        Ok(())
    }

    /// Refers to A's rows while B has none: each foreign key by itself, since one that holds would hide one that does not.
    async fn refer(&mut self, table: &Table) -> Result<(), Error> {
        let catalogue = self.catalogue;
        let Some(row) = self.rows.of(table) else { return Ok(()) };
        for reference in catalogue.references(table) {
            let others = catalogue.references(table).filter(|other| other.name != reference.name);
            let drops: String = others
                .map(|other| format!("alter table {} drop constraint {};", table.name, quoted(&other.name)))
                .collect();
            let own = |number: &i16| {
                table.column(*number).is_some_and(|column| !column.is_tenant() && !app_inserts(column))
            };
            if reference.here.iter().any(own) {
                self.probed.add(&table.name, Verb::Reference, Outcome::Refused);
                continue;
            }
            let values = self.referring(table, &row, reference);
            let sql = insert(table, &values);
            let drops =
                if drops.is_empty() { drops } else { format!("set local role {}; {drops}", table.owner) };
            let done = self.session.attempt_after(&drops, self.b(), &sql).await?;
            let outcome = match &done {
                Ok(_) => Outcome::Told,
                Err(refusal)
                    if refusal.code == "23503" && refusal.constraint.as_ref() == Some(&reference.name) =>
                {
                    Outcome::Nothing
                }
                _ => judge(&done, |_| true),
            };
            self.note(table, Verb::Reference, &done, outcome);
        }
        Ok(())
    }

    /// A's row as B's, with this foreign key to A's row.
    fn referring(&self, table: &Table, row: &str, reference: &Reference) -> Vec<(String, String)> {
        let mut values = self.planter().copied(table, row, Some(self.b), &Rows::default(), app_inserts);
        let Some(parent) = self.catalogue.tables.get(&reference.parent) else { return values };
        let Some(theirs) = self.rows.of(parent) else { return values };
        for (here, there) in reference.here.iter().zip(&reference.there) {
            let (Some(here), Some(there)) = (table.column(*here), parent.column(*there)) else { continue };
            let value = values.iter_mut().find(|(name, _)| *name == here.name && !here.is_tenant());
            value.into_iter().for_each(|(_, value)| *value = format!("{theirs}.{}", there.name));
        }
        values
    }

    /// Inserts A's values as B's own: nobody may say that they are taken.
    async fn repeat(&mut self, table: &Table, own: &Rows) -> Result<(), Error> {
        let values = match self.rows.of(table) {
            Some(row) => self.planter().copied(table, &row, Some(self.b), own, app_inserts),
            None => Vec::new(),
        };
        let sql = insert(table, &values);
        for (verb, sql) in
            [(Verb::Unique, sql.clone()), (Verb::Upsert, format!("{sql} on conflict do nothing"))]
        {
            let answer = self.as_b(&sql).await?;
            let outcome = match &answer {
                Ok(ran) if ran.rows == 0 => Outcome::Told,
                // Another rule than a key has refused it, so that nobody has looked at the keys.
                Err(refusal) if refusal.code.starts_with("23") && !is_taken(refusal) => Outcome::Untried,
                _ => judge(&answer, |_| false),
            };
            self.note(table, verb, &answer, outcome);
        }
        Ok(())
    }

    async fn give_away(&mut self, table: &Table) -> Result<(), Error> {
        let answer = self.as_b(&format!("update {} set tenant_id = '{}'", table.name, self.a)).await?;
        self.note(table, Verb::Move, &answer, judge(&answer, |ran| ran.rows > 0));
        Ok(())
    }
}

async fn copied_out(session: &Session, table: &Table) -> Result<Answer, Error> {
    let sql = format!("copy (select tenant_id from {}) to stdout", table.name);
    let rows = match session.client().copy_out(&sql).await {
        Ok(rows) => rows.try_fold(0, async |bytes, chunk| Ok(bytes + chunk.len() as u64)).await,
        Err(error) => Err(error),
    };
    match rows {
        Ok(rows) => Ok(Ok(Ran { rows, value: None })),
        Err(error) => refusal(&error).map(Err),
    }
}

async fn copied_in(session: &Session, table: &Table) -> Result<Answer, Error> {
    let columns =
        table.columns.iter().filter(|column| app_inserts(column)).map(|column| column.name.as_str());
    let columns = columns.collect::<Vec<_>>().join(", ");
    let columns = if columns.is_empty() { columns } else { format!("({columns})") };
    match session.client().copy_in::<_, Bytes>(&format!("copy {} {columns} from stdin", table.name)).await {
        Ok(_) => Ok(Ok(Ran { rows: 0, value: None })),
        Err(error) => refusal(&error).map(Err),
    }
}

/// What an answer means, where `harmed` says it of one that is no refusal.
fn judge(answer: &Answer, harmed: impl Fn(&Ran) -> bool) -> Outcome {
    // What is wrong with the attempt itself, or with the server: whether it would have been refused nobody knows.
    const UNRELATED: &[&str] = &["22", "25", "40", "42", "53", "54", "55", "57", "58", "XX"];
    match answer {
        Ok(ran) if harmed(ran) => Outcome::Touched,
        Ok(_) => Outcome::Nothing,
        Err(refusal) if refusal.code == "42501" => Outcome::Refused,
        // A constraint speaks up only once the policies have let the row pass.
        Err(refusal) if refusal.code.starts_with("23") => Outcome::Told,
        Err(refusal) if UNRELATED.iter().any(|class| refusal.code.starts_with(class)) => Outcome::Untried,
        // COPY under row-level security; or a trigger of the table's own.
        Err(_) => Outcome::Refused,
    }
}

fn is_taken(refusal: &Refusal) -> bool {
    matches!(refusal.code.as_str(), "23505" | "23P01")
}

fn app_inserts(column: &Column) -> bool {
    column.is_free && column.app_inserts
}

/// A column set to what it is; and, since reading a column brings in the policies for reading, without looking.
fn changes(table: &Table) -> [String; 2] {
    let name = changed(table);
    [format!("{name} = {name}"), format!("{name} = default")]
}

/// The column that the app role is likeliest to be allowed to change.
fn changed(table: &Table) -> &str {
    let free = table.columns.iter().filter(|column| column.is_free);
    let column = free.min_by_key(|column| (!column.app_updates, !column.app_selects, column.is_tenant()));
    column.map_or("tenant_id", |column| column.name.as_str())
}

/// ON CONFLICT on the first key that it can be decided by: unique, of plain columns, at once, for all rows.
fn on_conflict(table: &Table) -> Option<String> {
    let names =
        |columns: &[i16]| columns.iter().map(|number| Some(table.column(*number)?.name.as_str())).collect();
    let key: Vec<&str> =
        table.uniques.iter().filter(|unique| unique.is_plain).find_map(|unique| names(&unique.columns))?;
    Some(format!("on conflict ({}) do update set {1} = excluded.{1}", key.join(", "), changed(table)))
}
