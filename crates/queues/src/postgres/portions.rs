//! How a claim is divided between tenants.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::claim::most;
use crate::backend::Claim;

/// Tenants take turns about ten to a batch: fair enough within some claims, and cheaper than job by job.
const TURNS_IN_A_BATCH: i64 = 10;

/// A tenant with ready jobs, of one priority.
pub(super) struct Seen {
    pub(super) band: i16,
    pub(super) tenant: Uuid,
    /// The position behind which its jobs begin.
    after: i64,
    weight: i64,
}

/// Of a job that a claim took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) band: i16,
    pub(super) tenant: Uuid,
    pub(super) position: i64,
}

/// What a claim may take, in its order, an array for each part. The claim ends when it has enough.
///
/// First of each tenant its share; and if that does not make a batch, since some have fewer jobs than that, of each whatever it has.
#[derive(Default)]
pub(super) struct Portions {
    pub(super) bands: Vec<i16>,
    pub(super) tenants: Vec<Uuid>,
    /// Positions behind which their jobs begin.
    pub(super) after: Vec<i64>,
    /// How many of these jobs are in an earlier portion.
    pub(super) others: Vec<i64>,
    pub(super) jobs: Vec<i64>,
    /// No tenant was left out.
    pub(super) are_all: bool,
}

/// The parameters of a claim.
type Given<'a> = (&'a str, i64, Uuid, i64, bool, &'a [i16], &'a [Uuid], &'a [i64], &'a [i64], &'a [i64]);

impl From<(i16, Uuid, i64, i32)> for Seen {
    fn from((band, tenant, first, share): (i16, Uuid, i64, i32)) -> Self {
        Self { band, tenant, after: first.saturating_sub(1), weight: i64::from(share.max(1)) }
    }
}

impl Seen {
    /// Its first job is not before this position.
    pub(super) fn first(&self) -> i64 {
        self.after.saturating_add(1)
    }

    /// Its next job is behind those that were taken.
    pub(super) fn learn(&mut self, taken: &[Taken]) {
        let own = taken.iter().filter(|one| (one.band, one.tenant) == (self.band, self.tenant));
        self.after = own.map(|one| one.position).fold(self.after, i64::max);
    }
}

impl Portions {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Those of a band for a claim of so many jobs. Each tenant has a job, so no more tenants are needed.
    pub(super) fn add(&mut self, seen: &[&Seen], most: usize) {
        let seen = &seen[..seen.len().min(most)];
        let jobs = i64::try_from(most).unwrap_or(i64::MAX);
        let weights: i64 = seen.iter().map(|seen| seen.weight).sum();
        let quantum = (jobs / TURNS_IN_A_BATCH).max(1);
        // The turns of a few tenants are longer, so that they make a batch.
        let share = |seen: &Seen| match quantum * weights < jobs {
            true => (jobs * seen.weight + weights - 1) / weights,
            false => quantum * seen.weight,
        };
        for seen in seen {
            self.push(seen, 0, share(seen));
        }
        if (2..most).contains(&seen.len()) {
            for seen in seen {
                self.push(seen, share(seen), jobs);
            }
        }
    }

    fn push(&mut self, seen: &Seen, others: i64, jobs: i64) {
        self.bands.push(seen.band);
        self.tenants.push(seen.tenant);
        self.after.push(seen.after);
        self.others.push(others);
        self.jobs.push(jobs);
    }

    /// The parameters of the statement.
    pub(super) fn of<'a>(&'a self, claim: Claim<'a>, is_limited: bool) -> Given<'a> {
        let (bands, tenants) = (self.bands.as_slice(), self.tenants.as_slice());
        let (after, others, jobs) = (self.after.as_slice(), self.others.as_slice(), self.jobs.as_slice());
        (
            claim.queue,
            most(claim),
            claim.worker,
            claim.number,
            is_limited,
            bands,
            tenants,
            after,
            others,
            jobs,
        )
    }

    /// Behind which tenant of a band the next claim begins: the last one of this. If there are so few that all were served, the first one,
    /// so that the rest of a batch is not always the same one's.
    pub(super) fn served_last(&self, band: i16, taken: &[Taken]) -> Option<Uuid> {
        let served: HashSet<Uuid> =
            taken.iter().filter(|one| one.band == band).map(|one| one.tenant).collect();
        let mut all = self.shares().filter(|(key, _)| key.0 == band).map(|((_, tenant), _)| tenant);
        let are_few = self.bands.iter().zip(&self.others).any(|(of, others)| *of == band && *others > 0);
        match are_few && all.clone().all(|tenant| served.contains(&tenant)) {
            true => all.next(),
            false => all.filter(|tenant| served.contains(tenant)).last(),
        }
    }

    /// Tenants that had less than their share, although others were served after them.
    pub(super) fn emptied(&self, taken: &[Taken]) -> HashSet<(i16, Uuid)> {
        let mut jobs: HashMap<(i16, Uuid), i64> = HashMap::new();
        for one in taken {
            *jobs.entry((one.band, one.tenant)).or_default() += 1;
        }
        let served = self.shares().enumerate().filter(|(_, (key, _))| jobs.contains_key(key));
        let last = served.last().map_or(0, |(at, _)| at);
        let short = |(key, share): &((i16, Uuid), i64)| jobs.get(key).copied().unwrap_or(0) < *share;
        self.shares().take(last).filter(short).map(|(key, _)| key).collect()
    }

    /// Each tenant's share in the batch, in turn.
    fn shares(&self) -> impl Iterator<Item = ((i16, Uuid), i64)> + Clone {
        let all = self.bands.iter().zip(&self.tenants).zip(&self.others).zip(&self.jobs);
        all.filter(|((_, others), _)| **others == 0)
            .map(|(((band, tenant), _), jobs)| ((*band, *tenant), *jobs))
    }
}

/// Bands that nobody knows count as the last.
pub(super) fn place(band: i16) -> usize {
    usize::try_from(band).unwrap_or(2).min(2)
}
