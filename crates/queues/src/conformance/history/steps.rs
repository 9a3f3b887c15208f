use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::backend::Fate;
use crate::conformance::bench::{HOUR, dead, done, retry};
use crate::{Priority, Unique};

pub(super) const WORKERS: usize = 3;
pub(super) const TENANTS: usize = 2;

/// What happens next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Enqueue(Vec<New>),
    Claim {
        worker: usize,
        most: usize,
    },
    /// A worker settles something that it claimed once, perhaps under an earlier name, and whoever holds it now.
    Settle {
        worker: usize,
        which: Index,
        fate: Fate,
    },
    Promote,
    /// It falls silent, somebody sweeps, and it comes back under another name, with a memory of the old one.
    Crash {
        worker: usize,
    },
    Retire {
        worker: usize,
    },
    GiveBack {
        worker: usize,
        which: Index,
    },
    Cancel {
        which: Index,
    },
    Reschedule {
        which: Index,
        wait: Duration,
    },
    Pause(bool),
    Limit {
        name: &'static str,
        concurrency: Option<u32>,
    },
    Redrive,
}

/// A job as it is enqueued.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) tenant: usize,
    pub(super) priority: Priority,
    pub(super) delay: Duration,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Plain,
    Ordered(&'static str),
    Limited(&'static str),
    /// By both limits.
    TwiceLimited,
    OrderedAndLimited(&'static str, &'static str),
    Unique(Unique),
    KeepLatest,
}

fn new() -> impl Strategy<Value = New> {
    let priority =
        prop_oneof![4 => Just(Priority::Normal), 1 => Just(Priority::High), 1 => Just(Priority::Low)];
    (0..TENANTS, priority, delay(), kind()).prop_map(|(tenant, priority, delay, kind)| New {
        tenant,
        priority,
        delay,
        kind,
    })
}

/// Now, or never.
fn delay() -> impl Strategy<Value = Duration> {
    prop_oneof![6 => Just(Duration::ZERO), 1 => Just(HOUR)]
}

fn kind() -> impl Strategy<Value = Kind> {
    let order = || prop_oneof![Just("k"), Just("l")];
    let limit = || prop_oneof![Just("a"), Just("b")];
    prop_oneof![
        4 => Just(Kind::Plain),
        3 => order().prop_map(Kind::Ordered),
        3 => limit().prop_map(Kind::Limited),
        1 => Just(Kind::TwiceLimited),
        1 => (order(), limit()).prop_map(|(order, limit)| Kind::OrderedAndLimited(order, limit)),
        1 => Just(Kind::Unique(Unique::existing("u"))),
        1 => Just(Kind::Unique(Unique::throttle("v", HOUR))),
        1 => Just(Kind::Unique(Unique::debounce("w"))),
        1 => Just(Kind::KeepLatest),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(done()),
        1 => Just(Fate::Completed { result: Some("1".to_owned()), keep: HOUR }),
        2 => delay().prop_map(retry),
        1 => delay().prop_map(Fate::Later),
        1 => Just(Fate::Cancelled { keep: HOUR }),
        1 => Just(dead()),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let worker = || 0..WORKERS;
    let which = any::<Index>;
    let limit = (prop_oneof![Just("a"), Just("b")], prop::option::weighted(0.8, 1u32..4));
    prop_oneof![
        4 => prop::collection::vec(new(), 1..6).prop_map(Step::Enqueue),
        6 => (worker(), 1usize..8).prop_map(|(worker, most)| Step::Claim { worker, most }),
        8 => (worker(), which(), fate()).prop_map(|(worker, which, fate)| Step::Settle { worker, which, fate }),
        2 => Just(Step::Promote),
        1 => worker().prop_map(|worker| Step::Crash { worker }),
        1 => worker().prop_map(|worker| Step::Retire { worker }),
        1 => (worker(), which()).prop_map(|(worker, which)| Step::GiveBack { worker, which }),
        1 => which().prop_map(|which| Step::Cancel { which }),
        2 => (which(), delay()).prop_map(|(which, wait)| Step::Reschedule { which, wait }),
        1 => prop_oneof![1 => Just(true), 2 => Just(false)].prop_map(Step::Pause),
        1 => limit.prop_map(|(name, concurrency)| Step::Limit { name, concurrency }),
        1 => Just(Step::Redrive),
    ]
}
