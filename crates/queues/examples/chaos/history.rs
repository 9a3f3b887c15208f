//! All that is known after a run, whoever has written it down.

use std::collections::HashMap;
use std::time::Duration;

use shared_db::Db;
use shared_devkit::child::Child;
use shared_queues::{DeadFilter, MAX_LISTED, Queues, Reason};
use uuid::Uuid;

use super::faults::Incidents;
use super::ledger::{ALL_EFFECTS, Fact};
use super::producer::Promises;

/// An attempt as its worker has written it down; times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempted {
    pub id: Uuid,
    pub n: u64,
    pub worker: usize,
    pub began: i64,
    /// Not if the worker was killed in the middle.
    pub ended: Option<i64>,
}

/// An effect in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    pub n: u64,
    pub attempt: Uuid,
    /// When it was committed.
    pub at: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// When jobs were acknowledged, by number.
    pub promised: HashMap<u64, i64>,
    /// Jobs whose call to enqueue them has failed.
    pub unknown: u64,
    /// In the order in which they began.
    pub attempts: Vec<Attempted>,
    pub effects: Vec<Effect>,
    pub dead: Vec<(u64, Reason)>,
    pub incidents: Incidents,
    /// When the limits were set.
    pub limited_since: i64,
    /// Jobs that are still in the queues when all patience has ended.
    pub left: u64,
    /// By how many seconds the clocks of workers were off.
    pub clocks: Vec<i64>,
}

impl History {
    pub(crate) async fn gather(db: &Db, queues: &Queues, workers: &[Child], promises: Promises) -> Self {
        let mut history = Self { promised: promises.at, unknown: promises.unknown, ..Self::default() };
        for (worker, child) in workers.iter().enumerate() {
            history.read(worker, &child.ledger().unwrap());
        }
        history.attempts.sort_unstable_by_key(|attempt| attempt.began);
        let rows = db.across_tenants("the effects of all jobs are counted").all(&ALL_EFFECTS, ()).await;
        history.effects =
            rows.unwrap().into_iter().map(|(n, attempt, at)| Effect { n: n as u64, attempt, at }).collect();
        let letters = queues.dead_letters(&DeadFilter::new(), MAX_LISTED).await.unwrap();
        assert!(letters.len() < MAX_LISTED as usize, "there may be more dead letters than can be listed");
        // Of the others nobody has promised that they exist.
        let known =
            letters.iter().filter_map(|letter| Some((*promises.jobs.get(&letter.job_id)?, letter.reason)));
        history.dead = known.collect();
        history
    }

    /// Whether its worker was stopped when it began, or had only just woken up.
    pub(crate) fn stood_still(&self, attempt: &Attempted, beat: Duration) -> bool {
        let awake = beat.as_micros() as i64;
        let stopped = |&(worker, from, to): &(usize, i64, i64)| {
            worker == attempt.worker && (from..to + awake).contains(&attempt.began)
        };
        self.incidents.stops.iter().any(stopped)
    }

    /// How many workers were killed or stopped between two moments.
    pub(crate) fn struck_between(&self, from: i64, to: i64) -> usize {
        let incidents = &self.incidents;
        let kills = incidents.kills.iter().map(|(_, at, _)| at);
        let stops = incidents.stops.iter().map(|(_, at, _)| at);
        kills.chain(stops).filter(|at| from < **at && **at < to).count()
    }

    /// The file of a worker, with all its lives.
    fn read(&mut self, worker: usize, lines: &[String]) {
        let mut at = HashMap::new();
        for line in lines {
            match serde_json::from_str(line).unwrap() {
                Fact::Started { clock_off_by } => self.clocks.push(clock_off_by),
                Fact::Began { attempt: id, n, at: began } => {
                    at.insert(id, self.attempts.len());
                    self.attempts.push(Attempted { id, n, worker, began, ended: None });
                }
                Fact::Ended { attempt, at: ended } => self.attempts[at[&attempt]].ended = Some(ended),
            }
        }
    }
}
