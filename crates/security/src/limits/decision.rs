use std::time::Duration;

use super::MOST_RULES;
use super::level::Level;
use super::limit::Quota;

/// Whether a request may go on, and what its caller may be told.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Decision {
    verdict: Verdict,
    cost: u64,
    standings: [Option<Standing>; MOST_RULES],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Counted(bool),
    /// The store gave no answer.
    Outage(bool),
}

impl Decision {
    #[inline]
    pub(super) fn counted(allowed: bool, cost: u64) -> Self {
        Self { verdict: Verdict::Counted(allowed), cost, standings: [None; MOST_RULES] }
    }

    pub(super) fn outage(allowed: bool, cost: u64) -> Self {
        Self { verdict: Verdict::Outage(allowed), cost, standings: [None; MOST_RULES] }
    }

    #[inline]
    pub(super) fn stands(&mut self, rule: usize, standing: Standing) {
        if let Some(place) = self.standings.get_mut(rule) {
            *place = Some(standing);
        }
    }

    /// Whether it may go on. If not, nothing was taken from any limit.
    #[inline]
    pub fn allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Counted(true) | Verdict::Outage(true))
    }

    /// Whether the store gave no answer in time, so that the limiter's own choice decided.
    pub fn is_outage(&self) -> bool {
        matches!(self.verdict, Verdict::Outage(_))
    }

    /// What could still be taken now from all limits together.
    pub fn remaining(&self) -> u64 {
        self.standings().map(Standing::remaining).min().unwrap_or(0)
    }

    /// After which time the same request would be allowed, if nobody else asked in the meantime. `None` if it is allowed, and
    /// if no wait would help: it costs more than a limit ever admits at once. After an outage, a second.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::Counted(false) => {
                let mut longest = Duration::ZERO;
                for standing in self.standings() {
                    longest = longest.max(standing.wait(self.cost)?);
                }
                Some(longest)
            }
            Verdict::Outage(false) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The limits that deny it; none if it is allowed.
    pub fn denied_by(&self) -> impl Iterator<Item = &Standing> {
        self.standings().filter(|standing| self.is_denied_by(standing))
    }

    pub(super) fn is_denied_by(&self, standing: &Standing) -> bool {
        !self.allowed() && standing.wait(self.cost) != Some(Duration::ZERO)
    }

    /// How long until all limits are whole again, if nothing else is taken.
    pub fn reset(&self) -> Duration {
        self.standings().map(Standing::reset).max().unwrap_or_default()
    }

    /// Each limit that was looked at, in the order of the rules. None after an outage; after a denial that was known, the
    /// one that denies.
    pub fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.standings.iter().flatten()
    }
}

/// How one limit stands after a decision.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    name: &'static str,
    quota: Quota,
    /// What the store has said, or what is remembered of a denial: how long it still holds.
    state: Result<Level, Duration>,
}

impl Standing {
    #[inline]
    pub(super) fn new(name: &'static str, quota: Quota, level: Level) -> Self {
        Self { name, quota, state: Ok(level) }
    }

    pub(super) fn remembered(name: &'static str, quota: Quota, wait: Duration) -> Self {
        Self { name, quota, state: Err(wait) }
    }

    /// The name of the rule.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The most that the limit admits at once.
    pub fn quota(&self) -> u64 {
        self.quota.most()
    }

    /// In how many seconds it admits as much again.
    pub fn window(&self) -> u64 {
        self.quota.seconds()
    }

    /// What could be taken now.
    pub fn remaining(&self) -> u64 {
        self.state.map_or(0, |level| level.remaining())
    }

    /// How long until the limit is whole again; of a remembered denial how long it holds.
    pub fn reset(&self) -> Duration {
        self.state.map_or_else(|wait| wait, |level| level.reset())
    }

    /// For how long a caller should make do with what remains.
    pub(super) fn effective_window(&self) -> Duration {
        self.state.map_or_else(|wait| wait, |level| level.effective_window())
    }

    fn wait(&self, cost: u64) -> Option<Duration> {
        self.state.map_or_else(Some, |level| level.wait(cost))
    }
}
