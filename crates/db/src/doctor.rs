//! Looks at a live database for whatever would let a tenant's rows leak, or would be slow or in vain under row-level security.

mod functions;
mod keys;
mod policies;
mod report;
mod roles;
mod tables;

pub use report::{Finding, Report, Severity};

use crate::address::Address;
use crate::config::{Config, Roles};
use crate::direct::Direct;
use crate::error::{Error, described};

/// One rule: a query for what breaks it.
struct Check {
    severity: Severity,
    why: &'static str,
    /// What the query begins with, behind [`TENANT_TABLES`]: nothing, or more common table expressions.
    with: &'static str,
    /// Returns what it is about, what is wrong with it, and the statement that mends it. The names of
    /// roles stand in it as in a migration, so that `'{app}'::regrole` is the app role.
    sql: &'static str,
}

/// Every table with a column `tenant_id`, as `tenant_table`. A family table is one that the system role works on.
const TENANT_TABLES: &str = "
    with recursive tenant_table as (
        select c.oid, c.oid::regclass::text as name, c.relkind as kind, c.relrowsecurity as is_guarded, c.relacl as rights,
               a.attnum, a.atttypid, a.attnotnull,
               exists (select 1 from pg_policy where polrelid = c.oid and '{system}'::regrole = any (polroles)) as is_family
          from pg_class c
          join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
         where c.relkind in ('r', 'p', 'f') and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)')";

/// Looks at the database that the settings lead to: the roles, the policies of every table with a `tenant_id`, its keys and
/// indexes, the views and functions over it, the extension. A few milliseconds; it reads the catalogue alone and changes
/// nothing. At the start of a service, in its tests, or from a command line:
///
/// ```no_run
/// # async fn start(config: shared_db::Config) -> Result<(), shared_db::Error> {
/// let report = shared_db::doctor(&config).await?;
/// if report.alarms().next().is_some() {
///     eprintln!("{report}");
/// }
/// # Ok(()) }
/// ```
///
/// It logs in with `DATABASE_URL`, and works where [`Db::connect`](crate::Db::connect) refuses. It sees one database, not what superusers do in
/// their sessions, and it can't tell what a view or function is for: it knows the rules, and a finding may have its reasons.
///
/// # Errors
/// [`Error::Connect`] if the server can't be reached, [`Error::Statement`] if it can't be asked.
pub async fn doctor(config: &Config) -> Result<Report, Error> {
    let names = config.roles()?;
    let direct = Direct::open(config, Address::new(config, &config.url)?, "shared-db doctor").await?;
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL search_path = ''; SET LOCAL statement_timeout = {}",
        config.statement_timeout.as_millis()
    );
    direct.client.batch_execute(&begin).await.map_err(|error| Error::statement("doctor", &error))?;
    // Whatever is asked of a role that is not there fails.
    let mut findings = roles::missing(&direct, &names).await?;
    if findings.is_empty() {
        let all = [roles::CHECKS, policies::CHECKS, tables::CHECKS, keys::CHECKS, functions::CHECKS];
        for check in all.into_iter().flatten() {
            check.run(&direct, &names, &mut findings).await?;
        }
        findings.extend(roles::mighty_logins(&direct, config, &names).await?);
    }
    findings.sort_by(|a, b| (a.severity, &a.object).cmp(&(b.severity, &b.object)));
    Ok(Report::new(findings))
}

impl Check {
    async fn run(&self, direct: &Direct, names: &Roles, findings: &mut Vec<Finding>) -> Result<(), Error> {
        let sql = names.write_into(&format!("{TENANT_TABLES}{}{}", self.with, self.sql));
        let rows = direct.client.query_typed(&sql, &[]).await.map_err(|error| {
            tracing::debug!(reason = described(&error), "the doctor's question was refused");
            Error::statement("doctor", &error)
        })?;
        findings.extend(rows.iter().map(|row| Finding {
            severity: self.severity,
            object: row.get(0),
            wrong: row.get(1),
            why: self.why,
            mend: row.get(2),
        }));
        Ok(())
    }
}
