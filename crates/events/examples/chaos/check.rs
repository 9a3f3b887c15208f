//! Whether what was promised was kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::history::{History, Value};
use super::plan::Plan;

/// What was found. Each line of a list is a broken promise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// A publisher was told that it is committed, and it is not.
    pub forgotten: Vec<String>,
    /// Committed, and without its effect.
    pub lost: Vec<String>,
    /// With more than one effect.
    pub twice: Vec<String>,
    /// Effects that came before the one of the event before them.
    pub unordered: Vec<String>,
    /// Effects of what was never committed.
    pub phantoms: Vec<String>,
    /// More than once in a broker's lane.
    pub twice_sent: Vec<String>,
    /// In a broker's lane before the event before them.
    pub sent_unordered: Vec<String>,
    /// In a broker, and never committed.
    pub sent_phantoms: Vec<String>,
}

impl Verdict {
    pub(crate) fn of(history: &History) -> Self {
        let committed: BTreeSet<&Value> = history.raised.iter().collect();
        let forgotten = distinct(history.told.iter().filter(|value| !committed.contains(value)));
        let mut verdict = Self { forgotten, ..Self::default() };
        for consumer in Plan::CONSUMERS {
            let effects: Vec<&Value> =
                history.effects.iter().filter(|(name, _)| name == consumer).map(|(_, value)| value).collect();
            let said = |lines: Vec<String>| lines.into_iter().map(|line| format!("{consumer}: {line}"));
            verdict.twice.extend(said(twice(&effects)));
            verdict.unordered.extend(said(unordered(&effects)));
            verdict.phantoms.extend(said(phantoms(&effects, &committed)));
            let seen: BTreeSet<&Value> = effects.into_iter().collect();
            verdict.lost.extend(said(distinct(committed.difference(&seen).copied())));
        }
        for lane in &history.lanes {
            let sent: Vec<&Value> = lane.iter().collect();
            verdict.twice_sent.extend(twice(&sent));
            verdict.sent_unordered.extend(unordered(&sent));
            verdict.sent_phantoms.extend(phantoms(&sent, &committed));
        }
        verdict
    }

    /// The promises that can be broken, and how they were.
    pub(crate) fn broken(&self) -> [(&'static str, &[String]); 8] {
        [
            ("acknowledged and gone", &self.forgotten),
            ("lost", &self.lost),
            ("effects twice", &self.twice),
            ("effects out of order", &self.unordered),
            ("phantom effects", &self.phantoms),
            ("twice in the broker", &self.twice_sent),
            ("out of order in the broker", &self.sent_unordered),
            ("phantoms in the broker", &self.sent_phantoms),
        ]
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.broken().iter().all(|(_, found)| found.is_empty())
    }
}

fn distinct<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    values.collect::<BTreeSet<_>>().into_iter().map(named).collect()
}

fn named((tenant, key, n): &Value) -> String {
    format!("{n} of {key}, tenant {tenant}")
}

fn twice(seen: &[&Value]) -> Vec<String> {
    let mut counts: BTreeMap<&Value, u32> = BTreeMap::new();
    seen.iter().for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(value, _)| named(value)).collect()
}

/// Those before which a later one of the same key was seen. That a value is missing, or came twice, is found elsewhere.
fn unordered(seen: &[&Value]) -> Vec<String> {
    let mut last: HashMap<(&str, &str), i64> = HashMap::new();
    let mut found = Vec::new();
    for value in seen {
        let (tenant, key, n) = value;
        let last = last.entry((tenant, key)).or_default();
        if n < last {
            found.push(format!("{} after {last}", named(value)));
        }
        *last = (*last).max(*n);
    }
    found
}

fn phantoms(seen: &[&Value], committed: &BTreeSet<&Value>) -> Vec<String> {
    distinct(seen.iter().copied().filter(|value| !committed.contains(value)))
}
