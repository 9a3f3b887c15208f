//! The same on a command line.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use shared_core::TenantId;
use shared_db::Db;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Export, Root, Verify, prune, roots};
use crate::Error;

const USAGE: &str = "\
usage: <program> <command>
  verify [--tenant ID] [--anchored] [--from-anchors]
                 check the log against its seals; --anchored reads exported roots from the standard input, and --from-anchors
                 begins behind them; exit code 1 if anything is not as it was sealed
  export [--tenant ID] [--since TIME] [--until TIME]
                 the entries as JSON, one a line; times as in 2026-11-21T00:00:00Z
  roots          the latest root of each chain as JSON, one a line, to be kept elsewhere
  prune --before TIME
                 delete the entries of batches sealed before; their seals stay
";

/// The audit log as commands: `verify`, `export`, `roots` and `prune`, to standard output, and errors to standard error. A program
/// embeds it, as it does [`shared_db::migration::cli`]:
///
/// ```no_run
/// # async fn run(config: shared_db::Config) -> Result<std::process::ExitCode, shared_db::Error> {
/// let db = shared_db::Db::connect(&config).await?;
/// Ok(shared_security::audit::cli(&db, std::env::args().skip(1)).await)
/// # }
/// ```
///
/// The exit code is 0; 1 where `verify` has found something; 2 for an error.
pub async fn cli(db: &Db, args: impl IntoIterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.into_iter().collect();
    let (mut input, mut out) = (std::io::stdin().lock(), std::io::stdout());
    let code = match answer(db, &args, &mut input, &mut out).await {
        Ok(code) => code,
        Err(error) => writeln!(std::io::stderr(), "{error}").map_or(2, |()| 2),
    };
    ExitCode::from(code)
}

/// What the command says goes to `out`; returns the exit code.
pub(super) async fn answer(
    db: &Db,
    args: &[String],
    input: &mut dyn BufRead,
    out: &mut (dyn Write + Send),
) -> Result<u8, Error> {
    let Some(options) = Options::read(args) else {
        out.write_all(USAGE.as_bytes()).map_err(Error::Output)?;
        return Ok(2);
    };
    let Options { command, tenant, since, until, before, anchored, from_anchors } = options;
    match (command, before) {
        ("verify", _) => {
            let mut verify = tenant.into_iter().fold(Verify::default(), Verify::tenant);
            if anchored || from_anchors {
                verify = verify.anchors(read_roots(input)?);
            }
            if from_anchors {
                verify = verify.from_anchors();
            }
            let report = verify.run(db).await?;
            writeln!(out, "{report}").map_err(Error::Output)?;
            Ok(u8::from(!report.is_intact()))
        }
        ("export", _) => {
            let export = tenant.into_iter().fold(Export::default(), Export::tenant);
            let export = since.into_iter().fold(export, Export::since);
            until.into_iter().fold(export, Export::until).run(db, out).await?;
            Ok(0)
        }
        ("roots", _) => roots(db, out).await.map(|_| 0),
        ("prune", Some(before)) => {
            let pruned = prune(db, before).await?;
            writeln!(out, "{} entries in {} batches pruned", pruned.entries, pruned.batches)
                .map_err(Error::Output)?;
            Ok(0)
        }
        _ => {
            out.write_all(USAGE.as_bytes()).map_err(Error::Output)?;
            Ok(2)
        }
    }
}

#[derive(Default)]
struct Options<'a> {
    command: &'a str,
    tenant: Option<TenantId>,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
    before: Option<OffsetDateTime>,
    anchored: bool,
    from_anchors: bool,
}

impl<'a> Options<'a> {
    /// `None` for what is not understood.
    fn read(args: &'a [String]) -> Option<Self> {
        let (command, rest) = args.split_first()?;
        let mut options = Self { command, ..Self::default() };
        let mut rest = rest.iter();
        while let Some(name) = rest.next() {
            let mut time = || OffsetDateTime::parse(rest.next()?, &Rfc3339).ok();
            match (options.command, name.as_str()) {
                ("export", "--since") => options.since = Some(time()?),
                ("export", "--until") => options.until = Some(time()?),
                ("prune", "--before") => options.before = Some(time()?),
                ("verify" | "export", "--tenant") => options.tenant = Some(rest.next()?.parse().ok()?),
                ("verify", "--anchored") => options.anchored = true,
                ("verify", "--from-anchors") => options.from_anchors = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

fn read_roots(input: &mut dyn BufRead) -> Result<Vec<Root>, Error> {
    let mut roots = Vec::new();
    for line in input.lines() {
        let line = line.map_err(Error::Output)?;
        if !line.trim().is_empty() {
            roots.push(serde_json::from_str(&line).map_err(|_| Error::NoRoot { line: roots.len() + 1 })?);
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use shared_db::{Config, bootstrap};
    use shared_devkit::Postgres;

    use super::*;
    use crate::MIGRATIONS;
    use crate::audit::entry::{APPEND, NewEntry, to_json};
    use crate::audit::{AuditEvent, Sealer};

    async fn a_sealed_entry(db: &Db) {
        let entry = NewEntry::new(AuditEvent::new("key.exported").target("key", "7"));
        db.system().execute(&APPEND, (to_json([entry].iter()),)).await.unwrap();
        // It takes the lease by its first statement; a stop behind that seals what is there.
        let sealer = Sealer::start(db.clone(), &crate::audit::Config::default()).await.unwrap();
        while Verify::default().run(db).await.unwrap().unsealed > 0 {
            tokio::task::yield_now().await;
        }
        sealer.stop().await;
    }

    #[tokio::test]
    async fn each_command_answers_and_says_by_its_code_whether_all_is_well() {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let config = Config::new(database.url());
        bootstrap(&config, &[MIGRATIONS]).await.unwrap();
        let db = Db::connect(&config).await.unwrap();
        a_sealed_entry(&db).await;
        let answer = async |command: &str, input: &str| {
            let args: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            let mut out = Vec::new();
            let code = answer(&db, &args, &mut input.as_bytes(), &mut out).await;
            code.map(|code| (String::from_utf8(out).unwrap(), code))
        };
        let (report, code) = answer("verify", "").await.unwrap();
        assert!(report.starts_with("1 entries in 1 batches of 1 chains") && code == 0, "{report}");
        let (roots, code) = answer("roots", "").await.unwrap();
        assert!(roots.contains("\"number\":1") && code == 0, "{roots}");
        let (report, code) = answer("verify --anchored", &roots).await.unwrap();
        assert!(report.contains("1 exported roots compared") && code == 0, "{report}");
        let forged = roots.replace("\"root\":\"", "\"root\":\"00");
        assert!(matches!(answer("verify --anchored", &forged).await, Err(Error::NoRoot { line: 1 })));
        let wrong: String = roots.replace("\"number\":1", "\"number\":2");
        let (report, code) = answer("verify --from-anchors", &wrong).await.unwrap();
        assert!(
            report.contains("batch 2 is missing") && report.ends_with("NOT INTACT\n") && code == 1,
            "{report}"
        );
        let (entries, code) = answer("export --since 2000-01-01T00:00:00Z", "").await.unwrap();
        assert!(entries.contains("\"action\":\"key.exported\"") && entries.lines().count() == 1 && code == 0);
        assert_eq!(answer("export --until 2000-01-01T00:00:00Z", "").await.unwrap(), (String::new(), 0));
        let (pruned, code) = answer("prune --before 2000-01-01T00:00:00Z", "").await.unwrap();
        assert_eq!((pruned.as_str(), code), ("0 entries in 0 batches pruned\n", 0));
        for wrong in ["", "prune", "verify --tenant x", "export --since yesterday", "roots --tenant", "help"]
        {
            let (usage, code) = answer(wrong, "").await.unwrap();
            assert!(usage.starts_with("usage: ") && code == 2, "{wrong}: {usage}");
        }
    }
}
