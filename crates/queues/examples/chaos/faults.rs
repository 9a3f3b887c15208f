//! What goes wrong, one after the other, until it is called off.

use std::time::Duration;

use shared_devkit::child::Child;
use tokio_util::sync::CancellationToken;

use super::ledger::now;
use super::plan::{Plan, scattered};
use super::servers::Servers;

/// What went wrong when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incidents {
    /// Workers killed with -9: which one, when, and when it was gone.
    pub kills: Vec<(usize, i64, i64)>,
    /// Workers that stood still for longer than their lease, and went on.
    pub stops: Vec<(usize, i64, i64)>,
    /// Of the server that has the queues.
    pub outages: Vec<Outage>,
    /// How often all connections were cut.
    pub cuts: u64,
}

/// A time without the server that has the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// From when on it may have forgotten what it had acknowledged, if it may have forgotten anything.
    pub forgotten_since: Option<i64>,
    /// When it was killed. It may acknowledge a little more until it is gone.
    pub down: i64,
    pub up: i64,
}

#[derive(Clone, Copy)]
enum Fault {
    Kill,
    Cut,
    /// In the middle of an answer.
    CutHalfway,
    Outage,
}

/// Mostly kills; one outage in twelve, so that between them time is measured that is a dead worker's alone.
const ROUND: [Fault; 12] = {
    use Fault::{Cut, CutHalfway, Kill, Outage};
    [Kill, Cut, Outage, Kill, Kill, CutHalfway, Kill, Kill, Kill, Kill, Kill, Kill]
};

/// The longest that a server is away.
const OUTAGE: Duration = Duration::from_millis(1000);

/// Does all of it until `calm`. Afterwards everything is up and goes on.
pub(crate) async fn rage(
    plan: &Plan,
    calm: &CancellationToken,
    workers: &mut [Child],
    servers: &mut Servers,
) -> Incidents {
    let Some((last, others)) = workers.split_last_mut() else { return Incidents::default() };
    let number = others.len();
    let (struck, stops) = tokio::join!(strike(plan, calm, others, servers), stop(plan, calm, last, number));
    Incidents { stops, ..struck }
}

async fn strike(
    plan: &Plan,
    calm: &CancellationToken,
    workers: &mut [Child],
    servers: &mut Servers,
) -> Incidents {
    let mut incidents = Incidents::default();
    for nth in 0u64.. {
        let random = scattered(plan.seed ^ scattered(nth));
        let goes_on = pause(plan, calm, random).await;
        // Each kind comes once at least, however slow the machine: the first six have them all.
        if !goes_on && nth >= 6 {
            break;
        }
        match ROUND[nth as usize % ROUND.len()] {
            Fault::Kill => {
                let worker = (random >> 8) as usize % workers.len();
                let at = now();
                workers[worker].kill().await.unwrap();
                incidents.kills.push((worker, at, now()));
                workers[worker].restart().await.unwrap();
            }
            Fault::Cut => {
                servers.wires.iter().for_each(|wire| wire.cut());
                incidents.cuts += 1;
            }
            Fault::CutHalfway => {
                servers.wires.iter().for_each(|wire| wire.to_client().cut_after((random >> 8) % 2000));
                tokio::time::sleep(plan.beat / 4).await;
                servers.wires.iter().for_each(|wire| wire.heal());
                incidents.cuts += 1;
            }
            Fault::Outage => {
                incidents.outages.push(servers.outage(OUTAGE.mul_f64(part(random))).await);
            }
        }
    }
    incidents
}

/// Lets a worker stand still for longer than its lease.
async fn stop(
    plan: &Plan,
    calm: &CancellationToken,
    worker: &mut Child,
    number: usize,
) -> Vec<(usize, i64, i64)> {
    let mut stops = Vec::new();
    for nth in 0u64.. {
        let random = scattered(!plan.seed ^ scattered(nth));
        if !pause(plan, calm, random).await {
            break;
        }
        let at = now();
        worker.pause().await.unwrap();
        // The others must have noticed, too.
        let lost = plan.lease + plan.beat + plan.beat.mul_f64(part(random));
        tokio::time::sleep(lost).await;
        worker.resume().unwrap();
        stops.push((number, at, now()));
    }
    stops
}

/// Waits for the next fault, and returns whether there is to be one.
async fn pause(plan: &Plan, calm: &CancellationToken, random: u64) -> bool {
    let wait = plan.calm.start + (plan.calm.end - plan.calm.start).mul_f64(part(random));
    tokio::select! {
        biased;
        () = calm.cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

/// From 0 to 1.
fn part(random: u64) -> f64 {
    (random >> 32) as f64 / f64::from(u32::MAX)
}
