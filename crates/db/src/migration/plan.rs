//! What a run of the migrations would do.

use std::fmt;

use super::{MigrationSet, Step, history, label, with_ours};
use crate::bootstrap::{Session, failed};
use crate::config::{Config, Roles, quoted};
use crate::error::Error;

/// What [`bootstrap`](crate::bootstrap) would apply. Its `Display` is a report; [`sql`](Self::sql) has the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Where each schema stands, in the order of application.
    pub schemas: Vec<Standing>,
    /// The steps that are missing, in the order of application.
    pub steps: Vec<Planned>,
}

/// Where a schema stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Its name.
    pub schema: &'static str,
    /// The highest step that the database has; 0 where it has none.
    pub at: u32,
    /// The highest step that this program has. A newer release may have taken the database further.
    pub program: u32,
}

/// A step that is to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Planned {
    /// The schema of its set.
    pub schema: &'static str,
    /// Its number.
    pub version: u32,
    /// Its name.
    pub name: &'static str,
    /// It runs outside of a transaction.
    pub concurrent: bool,
    /// Programs with fewer steps do not survive it; 0 where all do.
    pub oldest: u32,
    /// What will be sent, with the names of the roles in it.
    pub sql: String,
}

/// What [`bootstrap`](crate::bootstrap) would apply to this database. It changes nothing, and takes no lock.
///
/// ```no_run
/// # const MIGRATIONS: shared_db::MigrationSet = shared_db::MigrationSet::new("notes", &[]);
/// # async fn example(config: &shared_db::Config) -> Result<(), shared_db::Error> {
/// let plan = shared_db::migration::plan(config, &[MIGRATIONS]).await?;
/// println!("{plan}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`bootstrap`](crate::bootstrap) that can be foreseen: a changed text, a newer database that this program does not
/// survive. Roles and rights are not looked at.
pub async fn plan(config: &Config, sets: &[MigrationSet]) -> Result<Plan, Error> {
    let (sets, roles) = (with_ours(sets)?, config.roles()?);
    let session = Session::open(config).await?;
    let mut plan = Plan { schemas: Vec::new(), steps: Vec::new() };
    for set in &sets {
        let history = match has_history(&session, set).await? {
            true => {
                session.run(&format!("SET ROLE {}", quoted(&roles.owner))).await?;
                history::read(&session.client, set).await?
            }
            false => Vec::new(),
        };
        let at = history.iter().filter(|entry| entry.finished).map(|entry| entry.version).max();
        plan.schemas.push(Standing {
            schema: set.schema,
            at: at.unwrap_or(0),
            program: set.steps.len() as u32,
        });
        plan.steps
            .extend(history::pending(set, &history)?.into_iter().map(|step| planned(set, step, &roles)));
    }
    Ok(plan)
}

async fn has_history(session: &Session, set: &MigrationSet) -> Result<bool, Error> {
    const HAS: &str = "SELECT to_regclass(quote_ident($1) || '.migration') IS NOT NULL";
    session.client.query_one(HAS, &[&set.schema]).await.map(|row| row.get(0)).map_err(failed)
}

fn planned(set: &MigrationSet, step: &Step, roles: &Roles) -> Planned {
    Planned {
        schema: set.schema,
        version: step.version,
        name: step.name,
        concurrent: step.is_concurrent(),
        oldest: step.oldest,
        sql: roles.write_into(&step.text()),
    }
}

impl Plan {
    /// The texts of the steps, one after the other, each under a line that names it.
    pub fn sql(&self) -> String {
        self.steps.iter().map(|step| format!("-- {step}\n{}\n\n", step.sql.trim())).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.schemas.iter().try_for_each(|standing| writeln!(f, "{standing}"))?;
        if self.steps.is_empty() {
            return f.write_str("nothing to apply");
        }
        write!(f, "to apply, in this order:")?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step}"))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { schema, at, program } = self;
        match at.cmp(program) {
            std::cmp::Ordering::Equal => write!(f, "{schema} is up to date at step {at}"),
            std::cmp::Ordering::Less => write!(f, "{schema} is at step {at} of {program}"),
            std::cmp::Ordering::Greater => {
                write!(
                    f,
                    "{schema} is at step {at}, of a newer release; this one has {program} and works with it"
                )
            }
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.concurrent { "concurrently" } else { "in a transaction" };
        write!(f, "{}, {how}", label(self.schema, self.version, self.name))?;
        if self.oldest > 0 {
            write!(f, "; programs with fewer than {} steps do not survive it", self.oldest)?;
        }
        Ok(())
    }
}
