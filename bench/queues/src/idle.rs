//! What a worker costs that has nothing to do.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, Contestant};
use crate::drive::Aim;
use crate::process::Process;
use crate::protocol::Command;
use crate::servers::Servers;

/// Until what a start brings with it is over.
const SETTLED: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers) {
    let watched = Duration::from_secs(if arguments.quick { 1 } else { 5 });
    println!("\na worker with nothing to do, set up for the latency; per cent of a core over {watched:?}");
    println!("  {:42}  {:>9} {:>9}", "", "client", "server");
    for contestant in CONTESTANTS.iter().filter(|one| one.waits() && arguments.invites(one)) {
        match rest(servers, contestant, watched).await {
            Ok((client, server)) => println!("  {:42}  {client:>9.1} {server:>9.1}", contestant.name),
            Err(failure) => println!("  {:42}  no figure: {failure}", contestant.name),
        }
    }
}

async fn rest(
    servers: &Servers,
    contestant: &'static Contestant,
    watched: Duration,
) -> Result<(f64, f64), String> {
    let url = servers.url(contestant, contestant.server).ok_or("no server that it can use is installed")?;
    let mut process = Process::start(contestant, &url, Aim::Latency).await?;
    process.tell(&Command::Clear, PATIENCE).await?;
    process.tell(&Command::Rest, PATIENCE).await?;
    sleep(SETTLED).await;
    let server = || servers.cpu(contestant, contestant.server);
    let (begin, before) = (Instant::now(), (process.cpu(), server()));
    sleep(watched).await;
    let (after, took) = ((process.cpu(), server()), begin.elapsed());
    process.tell(&Command::Leave, PATIENCE).await?;
    let percent = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() / took.as_secs_f64() * 100.0
    };
    Ok((percent(before.0, after.0), percent(before.1, after.1)))
}
