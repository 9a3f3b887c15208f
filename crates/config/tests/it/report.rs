//! What a wrong environment prints.

use std::net::SocketAddr;
use std::time::Duration;

use shared_config::{Loader, Profile, Report};
use shared_core::schema::Code;
use shared_core::{Config, Secret};

#[derive(Config)]
#[config(prefix = "NOTES")]
struct Settings {
    #[config(alias = "PORT", default = "127.0.0.1:8080")]
    listen: SocketAddr,
    service: Service,
    db: Db,
    security: Security,
}

#[derive(Config)]
struct Service {
    profile: Profile,
}

#[derive(Config)]
struct Db {
    #[config(
        env = "DATABASE_URL",
        url("postgres", "postgresql"),
        hint = "set it, or run `shared-devkit up`"
    )]
    url: Secret,
    #[config(default = 10, min = 1, max = 1000)]
    pool_size: u32,
    #[config(default = "2s")]
    pool_timeout: Duration,
}

#[derive(Config)]
struct Security {
    #[config(default = "dev:abcdef", not_in_production = "the development key")]
    keys: Secret,
}

fn wrong(loader: Loader) -> Report {
    loader.load::<Settings>().err().expect("the environment is wrong")
}

#[test]
fn every_problem_is_printed_at_once() {
    let report = wrong(
        Loader::new("notes")
            .vars([("NOTES_PROFILE", "production"), ("NOTES_DB_POOL_SIZE", "ten")])
            .dotenv("# one\n# two\n# three\n# four\n# five\n\nNOTES_DB_POOL_TIMOUT=3s"),
    );
    assert_eq!(
        report.to_string(),
        "\
notes cannot start: 4 problems in its configuration

  DATABASE_URL          missing; expected a postgres:// URL                   set it, or run `shared-devkit up`
  NOTES_DB_POOL_SIZE    expected an integer from 1 to 1000, found 3 letters   from the environment
  NOTES_DB_POOL_TIMOUT  unknown name; did you mean NOTES_DB_POOL_TIMEOUT?     from .env line 7
  NOTES_SECURITY_KEYS   refused in profile `production`: the development key  from the default
"
    );
    assert_eq!(Report::EXIT_CODE, 78);
}

#[test]
fn machines_read_the_same_report() {
    let report = wrong(Loader::new("notes").vars([("DATABASE_URL", "mysql://x"), ("NOTES_COLOUR", "red")]));
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        serde_json::json!({
            "service": "notes",
            "profile": "development",
            "problems": [{
                "name": "DATABASE_URL",
                "code": "wrong_type",
                "message": "expected a postgres:// URL, found 9 characters",
                "origin": "environment",
                "hint": null,
            }],
            "warnings": [{
                "name": "NOTES_COLOUR",
                "code": "unknown_name",
                "message": "unknown name",
                "origin": "environment",
                "hint": null,
            }],
        })
    );
}

#[test]
fn a_long_line_wraps_between_words() {
    #[derive(Config)]
    #[config(prefix = "A")]
    struct Long {
        #[config(
            expected = "the name of a region in which this service keeps the documents of its tenants at rest",
            hint = "ask the platform team for a region, and set it in the values of the chart"
        )]
        region: String,
    }
    let report = Loader::new("a").load::<Long>().err().unwrap();
    assert_eq!(
        report.to_string(),
        "\
a cannot start: 1 problem in its configuration

  A_REGION  missing; expected the name of a region in which this service  ask the platform team for a region, and set
            keeps the documents of its tenants at rest                    it in the values of the chart
"
    );
}

#[test]
fn a_copied_development_key_is_refused_too() {
    let report = wrong(Loader::new("notes").vars([
        ("NOTES_PROFILE", "production"),
        ("DATABASE_URL", "postgres://db/notes"),
        ("NOTES_SECURITY_KEYS", "dev:abcdef"),
    ]));
    assert_eq!(
        report.problems[0].to_string(),
        "NOTES_SECURITY_KEYS: refused in profile `production`: the development key (from the environment)"
    );
}

#[test]
fn a_profile_that_cannot_be_read_counts_as_production() {
    let report =
        wrong(Loader::new("notes").vars([("NOTES_PROFILE", "prod"), ("DATABASE_URL", "postgres://db")]));
    let codes: Vec<_> = report.problems.iter().map(|problem| (problem.name.as_str(), problem.code)).collect();
    assert_eq!(codes, [("NOTES_PROFILE", Code::WrongType), ("NOTES_SECURITY_KEYS", Code::Refused)]);
    assert_eq!(report.problems[0].message, "expected development, test or production, found 4 letters");
}
