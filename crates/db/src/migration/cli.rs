//! The same on a command line.

use std::io::Write;
use std::process::ExitCode;

use super::{MigrationSet, catalogue, drift, plan};
use crate::bootstrap::bootstrap;
use crate::config::Config;
use crate::doctor::doctor;
use crate::error::Error;

const USAGE: &str = "\
usage: <program> <command>
  status              where each schema stands, and the steps that are missing; exit code 1 if there are any
  plan                the SQL that would be applied
  migrate             apply it
  drift               what differs from what the migrations made; exit code 1 if anything does
  catalogue <schema>  what is in a schema, for the file beside its migrations
  doctor              what would let a tenant's rows leak, or be slow; exit code 1 if anything alarms
";

/// A program's migrations as commands: `status`, `plan`, `migrate`, `drift`, `catalogue <schema>` and `doctor`, printed to
/// standard output, and errors to standard error. The program brings its sets; whatever else it does is before or after this.
///
/// ```no_run
/// # const MIGRATIONS: shared_db::MigrationSet = shared_db::MigrationSet::new("notes", &[]);
/// # async fn run(config: shared_db::Config) -> std::process::ExitCode {
/// shared_db::migration::cli(&config, &[MIGRATIONS], std::env::args().skip(1)).await
/// # }
/// ```
///
/// The exit code is 0; 1 where steps are missing (`status`), something differs (`drift`) or alarms
/// ([`doctor`](crate::doctor())); 2 for an error.
pub async fn cli(config: &Config, sets: &[MigrationSet], args: impl IntoIterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.into_iter().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = match answer(config, sets, &args).await {
        Ok((text, code)) => writeln!(std::io::stdout(), "{}", text.trim_end()).map(|()| code),
        Err(error) => writeln!(std::io::stderr(), "{error}").map(|()| 2),
    };
    ExitCode::from(said.unwrap_or(2))
}

async fn answer(config: &Config, sets: &[MigrationSet], args: &[&str]) -> Result<(String, u8), Error> {
    match args {
        ["status"] => {
            plan(config, sets).await.map(|plan| (plan.to_string(), u8::from(!plan.steps.is_empty())))
        }
        ["plan"] => plan(config, sets).await.map(|plan| match plan.steps.is_empty() {
            true => ("-- nothing to apply".to_owned(), 0),
            false => (plan.sql(), 0),
        }),
        ["migrate"] => bootstrap(config, sets).await.map(|applied| (applied.to_string(), 0)),
        ["drift"] => drift(config, sets).await.map(|drift| (drift.to_string(), u8::from(!drift.is_empty()))),
        ["doctor"] => doctor(config)
            .await
            .map(|report| (report.to_string(), u8::from(report.alarms().next().is_some()))),
        ["catalogue", schema] => catalogue(config, schema).await.map(|text| (text, 0)),
        _ => Ok((USAGE.to_owned(), 2)),
    }
}

#[cfg(test)]
mod tests {
    use shared_devkit::Postgres;

    use super::*;
    use crate::Step;

    const NOTES: MigrationSet = MigrationSet::new(
        "notes",
        &[Step::sql(1, "note", "create table notes.note (id bigint primary key)")],
    );

    #[tokio::test]
    async fn each_command_answers_and_says_by_its_code_whether_all_is_well() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        let answer = async |command: &str| {
            let args: Vec<&str> = command.split_whitespace().collect();
            answer(&config, &[NOTES], &args).await.unwrap()
        };
        let (status, code) = answer("status").await;
        assert!(status.contains("notes is at step 0 of 1") && code == 1, "{status}");
        let (sql, code) = answer("plan").await;
        assert!(
            sql.contains("-- notes 0001_note, in a transaction\ncreate table notes.note") && code == 0,
            "{sql}"
        );
        let (applied, code) = answer("migrate").await;
        assert!(applied.contains(", notes 0001_note (") && code == 0, "{applied}");
        let (status, code) = answer("status").await;
        assert!(status.ends_with("notes is up to date at step 1\nnothing to apply") && code == 0, "{status}");
        assert_eq!(answer("plan").await, ("-- nothing to apply".to_owned(), 0));
        let (drift, code) = answer("drift").await;
        assert_eq!((drift.as_str(), code), ("no drift\nnotes was not compared: its set has no catalogue", 0));
        assert!(answer("catalogue notes").await.0.contains("table note: column id bigint not null\n"));
        assert_eq!(answer("doctor").await, ("the database is as it should be\n".to_owned(), 0));
        for wrong in ["", "migrate now", "catalogue", "help"] {
            let (usage, code) = answer(wrong).await;
            assert!(usage.starts_with("usage: ") && code == 2, "{usage}");
        }
    }

    #[tokio::test]
    async fn the_doctor_says_what_is_wrong_why_and_what_mends_it() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        const OPEN: MigrationSet = MigrationSet::new(
            "notes",
            &[Step::sql(
                1,
                "note",
                "create table notes.note (tenant_id uuid primary key); grant select on notes.note to {app};",
            )],
        );
        bootstrap(&config, &[OPEN]).await.unwrap();
        let (report, code) = answer(&config, &[OPEN], &["doctor"]).await.unwrap();
        assert!(report.starts_with("ALARM: notes.note has a tenant_id, no row-level security") && code == 1);
        assert!(
            report.contains("\n    why:  the app role reads or writes the rows of every tenant"),
            "{report}"
        );
        assert!(report.contains("\n    mend: select shared_db.tenant_table('notes.note');"), "{report}");
    }

    #[tokio::test]
    async fn an_error_has_a_code_of_its_own() {
        let nowhere = Config::new("postgres://nobody@127.0.0.1:1/none");
        assert_eq!(cli(&nowhere, &[NOTES], ["status".to_owned()]).await, ExitCode::from(2));
    }
}
