//! The queues on a command line. In development they are in devkit's database, and stay from run to run:
//! ```text
//! cargo run -p shared-queues --example operate -- queues
//! ```

use std::process::ExitCode;

use shared_db::{Config, Db, bootstrap};
use shared_devkit::Postgres;
use shared_queues::{MIGRATIONS, Queues};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    // A service takes its own settings: `shared_config::load`.
    let server = Postgres::named("operate-example").await?;
    let config = Config::new(server.url());
    bootstrap(&config, &[MIGRATIONS]).await?;
    let queues = Queues::postgres(&Db::connect(&config).await?);
    Ok(shared_queues::cli(&queues, std::env::args().skip(1)).await)
}
