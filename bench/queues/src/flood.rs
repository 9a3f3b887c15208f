//! One tenant sends nine tenths of twice what a worker can do. The others, who send less than their share, are asked how long they wait.

use std::time::{Duration, Instant};

use bench_report::Goal;
use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, Failure, TenantId};
use shared_queues::{Config, Job, Jobs, Producer, Queues, Worker};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use validator::Validate;

use crate::arguments::Arguments;
use crate::ours::{self, Store};
use crate::report::{Line, head, median, percentile, sorted};
use crate::seen;
use crate::servers::Servers;

/// A job that waits for something else, so that what a worker can do depends on its slots and not on who else computes.
#[derive(Serialize, Deserialize, Validate, Job)]
#[job(name = "bench:wait")]
struct Wait {
    at: u64,
}

const WAITS: Duration = Duration::from_millis(5);
const SLOTS: u32 = 8;
/// The first one floods.
const TENANTS: u64 = 10;
/// How often jobs are sent that have become due.
const TICK: Duration = Duration::from_millis(10);

async fn wait(job: Wait) -> Result<(), Failure> {
    seen::job(job.at);
    sleep(WAITS).await;
    Ok(())
}

/// Jobs tell by their number whose they are.
fn tenant_of(at: u64) -> usize {
    (at % TENANTS) as usize
}

struct Flood {
    queues: Queues,
    store: Store,
    producers: Vec<Producer>,
    /// Jobs a second that the worker does.
    capacity: f64,
}

pub(crate) async fn compare(arguments: &Arguments, servers: &Servers) -> Vec<Line> {
    let seconds = if arguments.quick { 0.3 } else { 2.0 };
    println!(
        "\nten tenants, {SLOTS} slots, handlers that wait for {WAITS:?}; one of them sends nine tenths of twice the capacity"
    );
    head();
    let mut all = Vec::new();
    for (name, url) in [("Redis", servers.spare()), ("PostgreSQL", servers.database().await.url().to_owned())]
    {
        let mut flood = Flood::open(&url).await;
        let backlogs = flood.backlogs(arguments.rounds, seconds).await;
        let (mut waits, mut shares) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let (alone, _) = flood.round(seconds, false).await;
            let (flooded, share) = flood.round(seconds, true).await;
            waits.push((flooded, alone));
            shares.push(share);
        }
        let lines = [
            waiting(name, &waits),
            fairness(format!("{name}: Jain's index, all with a backlog, one with 90 % of it"), backlogs),
            fairness(format!("{name}: Jain's index of what each got of its share, flooded"), shares),
        ];
        lines.iter().for_each(|line| println!("{line}"));
        all.extend(lines);
    }
    all
}

fn waiting(name: &str, waits: &[(f64, f64)]) -> Line {
    let middle = |part: fn(&(f64, f64)) -> f64| format!("{:.1} ms", median(&sorted(waits.iter().map(part))));
    Line {
        name: format!("{name}: the others' wait, p99, flooded / alone"),
        ours: middle(|(flooded, _)| *flooded),
        peer: middle(|(_, alone)| *alone),
        ratios: waits.iter().map(|(flooded, alone)| flooded / alone).collect(),
        goal: Some(Goal::AtMost(3.0)),
    }
}

fn fairness(name: String, indices: Vec<f64>) -> Line {
    Line { name, ours: String::new(), peer: String::new(), ratios: indices, goal: Some(Goal::AtLeast(0.95)) }
}

impl Flood {
    async fn open(url: &str) -> Self {
        let (queues, store) = ours::open(url, None).await;
        let tenant = || AssumedTenant::new(TenantId::new(), "a benchmark has no token");
        let producers = (0..TENANTS).map(|_| queues.tenant(&tenant())).collect();
        Self { queues, store, producers, capacity: f64::NAN }
    }

    async fn worker(&self) -> Worker {
        let config = Config { concurrency: SLOTS, ..Config::default() };
        Worker::start(&self.queues, (), Jobs::new().handle(wait), config).await.unwrap()
    }

    /// How fair a worker is while everybody has a backlog; and what it does in a second.
    async fn backlogs(&mut self, rounds: usize, seconds: f64) -> Vec<f64> {
        let mut indices = Vec::new();
        for _ in 0..rounds {
            self.store.empty().await;
            seen::reset(true, Duration::ZERO);
            // A tick of the timer more than the handler asks for.
            let jobs = (seconds * f64::from(SLOTS) / (WAITS.as_secs_f64() + 0.001)) as u64;
            let each = jobs / 10 / (TENANTS - 1);
            self.send(0, (0..jobs * 9 / 10).map(|n| n * TENANTS).collect()).await;
            for tenant in 1..TENANTS {
                self.send(tenant, (0..each).map(|n| n * TENANTS + tenant).collect()).await;
            }
            let all = jobs * 9 / 10 + each * (TENANTS - 1);
            let worker = self.worker().await;
            let begin = Instant::now();
            while seen::count() < all {
                sleep(Duration::from_millis(1)).await;
            }
            self.capacity = all as f64 / begin.elapsed().as_secs_f64();
            worker.stop(Duration::from_secs(5)).await;
            indices.push(jain(&until_one_is_done(each)));
        }
        indices
    }

    /// The others' 99th percentile in milliseconds; and how near everybody came to their share.
    async fn round(&self, seconds: f64, flooded: bool) -> (f64, f64) {
        self.store.empty().await;
        seen::reset(true, Duration::ZERO);
        let worker = self.worker().await;
        let others = self.capacity * 0.2 / (TENANTS - 1) as f64;
        let rates = (0..TENANTS).map(|tenant| match tenant {
            0 if flooded => self.capacity * 1.8,
            0 => 0.0,
            _ => others,
        });
        let sent = self.steady(&rates.collect::<Vec<_>>(), seconds).await;
        let all_of_others = sent.iter().filter(|(at, _)| tenant_of(*at) != 0).count();
        let begun_of_others = || seen::times().iter().filter(|(at, _)| tenant_of(*at) != 0).count();
        let end = Instant::now() + Duration::from_secs(10);
        let served = per_tenant(seen::times().iter().map(|(at, _)| *at));
        while begun_of_others() < all_of_others && Instant::now() < end {
            sleep(Duration::from_millis(5)).await;
        }
        worker.stop(Duration::from_secs(5)).await;
        let begun: std::collections::HashMap<u64, Instant> = seen::times().into_iter().collect();
        let waited = sent.iter().filter(|(at, _)| tenant_of(*at) != 0).map(|(at, when)| {
            begun
                .get(at)
                .map_or(f64::INFINITY, |begun| begun.saturating_duration_since(*when).as_secs_f64() * 1_000.0)
        });
        let waited: Vec<f64> = waited.collect();
        let shares: Vec<f64> = served
            .iter()
            .enumerate()
            .map(|(tenant, jobs)| jobs / seconds / if tenant == 0 { self.capacity * 0.8 } else { others })
            .collect();
        (percentile(&waited, 99), jain(&shares))
    }

    /// Sends at these rates, whatever the worker does. What was sent when.
    async fn steady(&self, rates: &[f64], seconds: f64) -> Vec<(u64, Instant)> {
        let begin = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut sent, mut counts, mut calls) = (Vec::new(), vec![0_u64; rates.len()], JoinSet::new());
        while begin.elapsed().as_secs_f64() < seconds {
            tick.tick().await;
            for (tenant, rate) in rates.iter().enumerate() {
                // The tenants are not in step.
                let due = (begin.elapsed().as_secs_f64() * rate + tenant as f64 / TENANTS as f64) as u64;
                let new: Vec<u64> = (counts[tenant]..due).map(|n| n * TENANTS + tenant as u64).collect();
                counts[tenant] = due.max(counts[tenant]);
                if !new.is_empty() {
                    sent.extend(new.iter().map(|at| (*at, Instant::now())));
                    let producer = self.producers[tenant].clone();
                    calls.spawn(async move {
                        producer.enqueue_all(new.into_iter().map(|at| Wait { at })).await.unwrap();
                    });
                }
            }
            while calls.try_join_next().is_some() {}
        }
        calls.join_all().await;
        sent
    }

    async fn send(&self, tenant: u64, jobs: Vec<u64>) {
        let jobs = jobs.into_iter().map(|at| Wait { at });
        self.producers[tenant as usize].enqueue_all(jobs).await.unwrap();
    }
}

/// Jobs that were begun with by the time at which the first of the small tenants had no more.
fn until_one_is_done(each: u64) -> Vec<f64> {
    let mut counts = vec![0.0; TENANTS as usize];
    for (at, _) in seen::times() {
        counts[tenant_of(at)] += 1.0;
        if tenant_of(at) != 0 && counts[tenant_of(at)] >= each as f64 {
            break;
        }
    }
    counts
}

fn per_tenant(jobs: impl Iterator<Item = u64>) -> Vec<f64> {
    let mut counts = vec![0.0; TENANTS as usize];
    jobs.for_each(|at| counts[tenant_of(at)] += 1.0);
    counts
}

/// One if all are the same, and a tenth if one of ten has everything.
fn jain(shares: &[f64]) -> f64 {
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    shares.iter().sum::<f64>().powi(2) / (shares.len() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_says_how_evenly_something_is_shared() {
        assert_eq!(jain(&[2.0; 10]), 1.0);
        assert_eq!(jain(&[1.0, 0.0, 0.0, 0.0]), 0.25);
    }
}
