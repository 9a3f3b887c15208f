//! The migrations of a program on a command line. In development the database is devkit's, and stays from run to run:
//! ```text
//! cargo run -p shared-db --example migrate -- status
//! ```

use std::process::ExitCode;

use shared_db::{Config, MigrationSet, Step, migration};
use shared_devkit::Postgres;

const NOTES: MigrationSet = MigrationSet::new(
    "notes",
    &[
        Step::sql(
            1,
            "note",
            "create table notes.note (
                 tenant_id uuid not null, id uuid not null, body text not null,
                 created_at timestamptz not null default now(), primary key (tenant_id, id));
             select shared_db.tenant_table('notes.note');",
        ),
        Step::concurrent(
            2,
            "note_by_time",
            "create index concurrently if not exists note_by_time on notes.note (tenant_id, created_at)",
        ),
    ],
)
.requires(&["shared_db"]);

#[tokio::main]
async fn main() -> Result<ExitCode, shared_devkit::Error> {
    // A service takes its own settings: `shared_config::load`.
    let server = Postgres::named("migrate-example").await?;
    let config = Config::new(server.url());
    Ok(migration::cli(&config, &[NOTES], std::env::args().skip(1)).await)
}
