//! What is written from the schema.

use std::time::Duration;

use shared_config::{Loader, env_example, markdown};
use shared_core::{Config, Secret};

#[derive(Config)]
#[config(prefix = "NOTES")]
struct Settings {
    /// How long a request may take.
    ///
    /// Measured from its first byte.
    #[config(default = "30s", max = "5m", alias = "DEADLINE")]
    deadline: Duration,
    /// What it says | to guests.
    #[config(default = "Good morning #1")]
    greeting: String,
    db: Db,
    mail: Option<Mail>,
}

#[derive(Config)]
struct Db {
    /// The database.
    #[config(env = "DATABASE_URL", url("postgres"))]
    url: Secret,
    /// Signs cookies.
    #[config(default = "dev", not_in_production = "the development key")]
    key: Secret,
}

#[derive(Config)]
struct Mail {
    /// Mail server.
    host: String,
}

const EXAMPLE: &str = r#"# What the program runs for.
# development, test or production; default: development
#NOTES_PROFILE=development

# How long a request may take.
#
# Measured from its first byte.
# a duration of at most 5m; default: 30s
# also read from DEADLINE
#NOTES_DEADLINE=30s

# What it says | to guests.
# a text; default: Good morning #1
#NOTES_GREETING="Good morning #1"

# The database.
# a postgres:// URL; required
# or DATABASE_URL_FILE, the path of a file that holds it
DATABASE_URL=

# Signs cookies.
# a secret; has a default
# or NOTES_DB_KEY_FILE, the path of a file that holds it
# refused in profile `production`: the development key
#NOTES_DB_KEY=

# Mail server.
# a text; optional
#NOTES_MAIL_HOST=
"#;

#[test]
fn an_example_file_has_every_variable() {
    assert_eq!(env_example::<Settings>(), EXAMPLE);
}

#[test]
fn the_example_reads_back_with_and_without_its_comments() {
    let report = Loader::new("notes").dotenv(EXAMPLE).load::<Settings>().err().unwrap();
    assert_eq!(report.problems.len(), 1);
    let filled = EXAMPLE.replace("#NOTES", "NOTES").replace("DATABASE_URL=", "DATABASE_URL=postgres://db");
    let settings = Loader::new("notes").dotenv(filled).load::<Settings>().unwrap().settings;
    assert_eq!(settings.greeting, "Good morning #1");
}

#[test]
fn a_table_has_every_variable() {
    assert_eq!(
        markdown::<Settings>(),
        "\
| variable | meaning | expected | default |
|---|---|---|---|
| `NOTES_PROFILE` | What the program runs for. | development, test or production | `development` |
| `NOTES_DEADLINE`, `DEADLINE` | How long a request may take.  Measured from its first byte. | a duration of at most 5m | `30s` |
| `NOTES_GREETING` | What it says \\| to guests. | a text | `Good morning #1` |
| `DATABASE_URL` | The database. | a postgres:// URL | required |
| `NOTES_DB_KEY` | Signs cookies. | a secret | has a default |
| `NOTES_MAIL_HOST` | Mail server. | a text | optional |
"
    );
}
