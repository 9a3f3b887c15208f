//! What a relay is held to where its subscription is a replay.

use std::time::Duration;

use tokio::time::Instant;

use super::Filter;
use crate::{Envelope, LANES};

/// What a replay brings, how far it goes, and how fast, as its subscription's row says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bounds {
    filter: Filter,
    ends: Option<i64>,
    rate: Option<f32>,
}

impl Bounds {
    /// Those of a row; `None` for a subscription that is no replay.
    ///
    /// # Errors
    /// Where a later release wrote a filter that this one can't read: it must bring nothing then, rather than too much.
    pub(crate) fn read(
        filter: Option<&str>,
        ends: Option<i64>,
        rate: Option<f32>,
    ) -> Result<Option<Self>, &'static str> {
        let Some(filter) = filter else { return Ok(None) };
        let filter = Filter::read(filter).ok_or("its filter is of a later release than this program")?;
        Ok(Some(Self { filter, ends, rate }))
    }

    /// The tick that it ends with, if it does.
    pub(crate) fn ends(&self) -> Option<i64> {
        self.ends
    }

    /// Whether it goes no further than this tick.
    pub(crate) fn is_over(&self, passed: i64) -> bool {
        self.ends.is_some_and(|ends| passed >= ends)
    }

    /// The events that it brings, marked.
    pub(crate) fn pass(&self, events: &mut Vec<Envelope>) {
        events.retain(|event| self.filter.passes(event));
        events.iter_mut().for_each(|event| event.replay = true);
    }

    /// Events per second for so many of the sixteen lanes: all relays together keep the rate.
    fn rate(&self, lanes: usize) -> Option<f64> {
        self.rate.map(|rate| f64::from(rate) * lanes.max(1) as f64 / f64::from(LANES))
    }

    /// Events that may be read at once: those of a second.
    pub(crate) fn most(&self, lanes: usize) -> usize {
        // A rate is at most a million.
        self.rate(lanes).map_or(usize::MAX, |rate| rate.ceil() as usize)
    }

    /// How long so many events of so many lanes last.
    pub(crate) fn lasts(&self, events: usize, lanes: usize) -> Duration {
        self.rate(lanes)
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64((events as f64 / rate).min(3600.0)))
    }
}

/// Keeps a rate: when the next events may be read.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    free: Option<Instant>,
}

impl Pace {
    /// What was read lasts for so long.
    pub(crate) fn took(&mut self, lasts: Duration) {
        let now = Instant::now();
        self.free = (!lasts.is_zero()).then(|| self.free.map_or(now, |free| free.max(now)) + lasts);
    }

    /// Until when to wait, if it has to.
    pub(crate) fn waits(&self) -> Option<Instant> {
        self.free.filter(|free| *free > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(rate: Option<f32>) -> Bounds {
        Bounds::read(Some("{}"), Some(7), rate).unwrap().unwrap()
    }

    #[test]
    fn what_is_no_replay_has_none_and_what_can_t_be_read_brings_nothing() {
        assert_eq!(Bounds::read(None, None, None), Ok(None));
        assert!(Bounds::read(Some(r#"{"site": 1}"#), None, None).is_err());
        assert!(!rated(None).is_over(6) && rated(None).is_over(7));
    }

    #[test]
    fn the_lanes_of_all_relays_share_the_rate() {
        let bounds = rated(Some(160.0));
        assert_eq!((bounds.most(16), bounds.most(4), rated(None).most(16)), (160, 40, usize::MAX));
        assert_eq!(bounds.lasts(40, 4), Duration::from_secs(1));
        assert_eq!(rated(None).lasts(40, 4), Duration::ZERO);
        assert_eq!(rated(Some(0.001)).most(1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_keeps_what_was_taken_too_early() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        assert_eq!(pace.waits(), None);
        pace.took(Duration::from_secs(2));
        pace.took(Duration::from_secs(1));
        assert_eq!(pace.waits(), Some(start + Duration::from_secs(3)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pace.waits(), None);
        pace.took(Duration::from_secs(1));
        assert_eq!(pace.waits(), Some(start + Duration::from_secs(11)), "what was not used is not saved up");
    }
}
