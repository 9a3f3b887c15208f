//! What goes wrong, one after the other, until it is called off.

use std::time::Duration;

use shared_devkit::child::Child;
use tokio_util::sync::CancellationToken;

use super::ledger::now;
use super::plan::{Plan, Way, part, scattered};
use super::servers::{Server, Servers, Superuser};

/// What went wrong when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incidents {
    /// Relays, or consumers of a broker, killed with -9: the process, and when.
    pub relay_kills: Vec<(u32, i64)>,
    pub publisher_kills: usize,
    /// Those that stood still for longer than their lease, and went on.
    pub stops: Vec<(u32, i64, i64)>,
    /// When the database was away.
    pub outages: Vec<(i64, i64)>,
    /// When the broker was.
    pub broker_outages: Vec<(i64, i64)>,
    /// How often all connections were cut.
    pub cuts: u64,
    /// How often a broker was made to deliver again all that it had.
    pub redeliveries: u64,
}

impl Incidents {
    /// When the last thing ended for which a lane had to wait that the killed process left; `None` if there was nothing of the kind. While
    /// the database is away nobody takes a lane; one who is killed or stands still counts among the living for a lease.
    pub(crate) fn hindered(&self, pid: u32, from: i64, to: i64) -> Option<i64> {
        let outages = self.outages.iter().filter(|(down, up)| *down < to && from < *up).map(|(_, up)| *up);
        let stops =
            self.stops.iter().filter(|(_, down, up)| *down < to && from < *up).map(|(_, down, _)| *down);
        let kills = self.relay_kills.iter().filter(|(other, at)| *other != pid && from < *at && *at < to);
        outages.chain(stops).chain(kills.map(|(_, at)| *at)).max().map(|last| last.clamp(from, to))
    }
}

/// The processes of a run.
pub(crate) struct Processes {
    pub publishers: Vec<Child>,
    pub relays: Vec<Child>,
    pub consumers: Vec<Child>,
}

#[derive(Clone, Copy)]
enum Fault {
    KillRelay,
    KillConsumer,
    KillPublisher,
    Cut,
    /// In the middle of an answer.
    CutHalfway,
    Outage(Server),
    Redeliver,
}

/// Mostly kills, so that between outages time is measured that is a dead relay's alone.
const ROUND: [Fault; 12] = {
    use Fault::{Cut, CutHalfway, KillConsumer, KillPublisher, KillRelay, Outage, Redeliver};
    [
        KillRelay,
        Outage(Server::Broker),
        Cut,
        KillConsumer,
        Outage(Server::Database),
        KillPublisher,
        CutHalfway,
        KillRelay,
        Redeliver,
        KillConsumer,
        KillRelay,
        KillRelay,
    ]
};

/// The longest that a server is away.
const OUTAGE: Duration = Duration::from_millis(1000);

/// Does all of it until `calm`. Afterwards everything is up and goes on.
pub(crate) async fn rage(
    plan: &Plan,
    calm: &CancellationToken,
    processes: &mut Processes,
    servers: &mut Servers,
) -> Incidents {
    let Processes { publishers, relays, consumers } = processes;
    let (mut still, mut rest) = (Vec::new(), Vec::new());
    for group in [relays, consumers] {
        if let Some((last, others)) = group.split_last_mut() {
            still.push(last);
            rest.push(others);
        }
    }
    let (mut incidents, stops) =
        tokio::join!(strike(plan, calm, publishers, &mut rest, servers), stop(plan, calm, &mut still));
    incidents.stops = stops;
    incidents
}

async fn strike(
    plan: &Plan,
    calm: &CancellationToken,
    publishers: &mut [Child],
    others: &mut [&mut [Child]],
    servers: &mut Servers,
) -> Incidents {
    let mut incidents = Incidents::default();
    for nth in 0u64.. {
        let random = scattered(plan.seed ^ scattered(nth));
        let goes_on = pause(plan, calm, random).await;
        // Each kind comes once at least, however slow the machine.
        if !goes_on && (plan.wrong.is_some() || nth >= ROUND.len() as u64) {
            break;
        }
        match ROUND[nth as usize % ROUND.len()] {
            Fault::KillPublisher => {
                kill(publishers, random).await;
                incidents.publisher_kills += 1;
            }
            Fault::KillConsumer if others.len() > 1 => {
                incidents.relay_kills.push(kill(others[1], random).await);
            }
            Fault::KillRelay | Fault::KillConsumer => {
                incidents.relay_kills.push(kill(others[0], random).await);
            }
            Fault::Cut => {
                servers.wires.iter().for_each(|wire| wire.cut());
                incidents.cuts += 1;
            }
            Fault::CutHalfway => {
                servers.wires.iter().for_each(|wire| wire.to_client().cut_after((random >> 8) % 2000));
                tokio::time::sleep(plan.lease / 12).await; // time itself is planned: it stays cut
                servers.wires.iter().for_each(|wire| wire.heal());
                incidents.cuts += 1;
            }
            Fault::Outage(Server::Broker) if plan.way != Way::Log => {
                let at = servers.outage(Server::Broker, OUTAGE.mul_f64(part(random))).await;
                incidents.broker_outages.push((at, now()));
            }
            Fault::Outage(_) => {
                let at = servers.outage(Server::Database, OUTAGE.mul_f64(part(random))).await;
                incidents.outages.push((at, now()));
            }
            Fault::Redeliver => {
                let done = redeliver(&servers.database_url()).await;
                incidents.redeliveries += u64::from(done.is_some() && plan.way != Way::Log);
            }
        }
    }
    incidents
}

/// Kills one of them, which one is drawn, and starts it again. The process that was killed, and when.
async fn kill(processes: &mut [Child], random: u64) -> (u32, i64) {
    let process = &mut processes[(random >> 8) as usize % processes.len().max(1)];
    let (pid, at) = (process.id(), now());
    process.kill().await.unwrap();
    process.restart().await.unwrap();
    (pid, at)
}

/// Lets one of these after the other stand still for longer than its lease.
async fn stop(plan: &Plan, calm: &CancellationToken, still: &mut [&mut Child]) -> Vec<(u32, i64, i64)> {
    let mut stops = Vec::new();
    for nth in 0u64.. {
        let random = scattered(!plan.seed ^ scattered(nth));
        // Between two of them, a lane that a dead relay has left waits for nobody who stands still.
        let rest = plan.lease.mul_f64(2.0 + part(random));
        // Once at least, however quick the machine.
        if tokio::time::timeout(rest, calm.cancelled()).await.is_ok() && (plan.wrong.is_some() || nth > 0) {
            break;
        }
        let process = &mut still[nth as usize % still.len().max(1)];
        let at = now();
        process.pause().await.unwrap();
        // The others must have noticed, too.
        tokio::time::sleep(plan.lease.mul_f64(1.3 + part(random))).await; // time itself is tested: a lease runs out
        process.resume().unwrap();
        stops.push((process.id(), at, now()));
    }
    stops
}

/// Lets those who read the broker forget how far they have come: all that it has is delivered once more.
async fn redeliver(url: &str) -> Option<()> {
    Superuser::open(url).await?.batch_execute(FORGET).await.ok()
}

const FORGET: &str = "
    update shared_events.intake set mark = null, owner = null, epoch = epoch + 1, expires = '-infinity'";

/// Waits for the next fault, and returns whether there is to be one.
async fn pause(plan: &Plan, calm: &CancellationToken, random: u64) -> bool {
    let wait = plan.calm.start + (plan.calm.end - plan.calm.start).mul_f64(part(random));
    tokio::select! {
        biased;
        () = calm.cancelled() => false,
        () = tokio::time::sleep(wait) => true, // time itself is planned: calm between two faults
    }
}
