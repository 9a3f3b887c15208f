//! Drops futures at random awaits, over Postgres and over Redis, and looks at what they have left behind: poisoned
//! connections, leaked settings, statements that still run a second later. Any of them is a failure.
//! ```text
//! cargo xtask storm 10000        how many futures of each
//! cargo xtask storm 10000 7      and the seed
//! ```
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for a terminal, out of the tests' parts"
)]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use self::storm::{Aftermath, Storm};

#[path = "../tests/it/server.rs"]
#[allow(dead_code, reason = "the rest is the tests'")]
mod server;
#[path = "../tests/it/storm.rs"]
#[allow(dead_code, reason = "the rest is the tests'")]
mod storm;
#[path = "../tests/it/storm_postgres.rs"]
mod storm_postgres;
#[path = "../tests/it/storm_redis.rs"]
mod storm_redis;
#[path = "../tests/it/support.rs"]
#[allow(dead_code, reason = "the rest is the tests'")]
mod support;

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> ExitCode {
    let arguments: Result<Vec<u64>, _> = std::env::args().skip(1).map(|number| number.parse()).collect();
    let storm = match arguments.as_deref() {
        Ok([]) => Storm { futures: 10_000, seed: any() },
        Ok(&[futures]) => Storm { futures, seed: any() },
        Ok(&[futures, seed]) => Storm { futures, seed },
        _ => {
            println!("usage: storm [FUTURES [SEED]]");
            return ExitCode::from(2);
        }
    };
    println!("{} futures over each, seed {}", storm.futures, storm.seed);
    let postgres = said("Postgres", &storm_postgres::postgres(storm).await);
    let redis = said("Redis", &storm_redis::redis(storm).await);
    if postgres && redis { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Another one in each run; it is printed, so that a failure can be had again.
fn any() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn said(server: &str, aftermath: &Aftermath) -> bool {
    let Aftermath { finished, dropped, discarded, poisoned, leaked, running } = aftermath;
    println!(
        "{server}: {finished} ran to their end, {dropped} were dropped, {discarded} connections were discarded"
    );
    for (what, found) in
        [("poisoned", poisoned), ("leaked settings", leaked), ("still running after 1 s", running)]
    {
        println!("  {:<26}{}", what, found.len());
        found.iter().take(10).for_each(|one| println!("    {one}"));
    }
    aftermath.is_clear()
}
