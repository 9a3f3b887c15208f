//! What a schedule asks for when somebody looks at it, in time or late.

use std::time::Duration;

use time::OffsetDateTime;

use super::MissedRuns;
use super::timetable::Timetable;

/// Runs that are made up for after an outage: 100. Beyond that nobody wants each of them, and the first alone would fill the queue.
const MOST_MADE_UP: usize = 100;

/// A slot that is late by less than this is not missed: workers look every second or so, and a deployment takes some more.
const GRACE: Duration = Duration::from_secs(60);

/// Runs that are due, and the slot that comes after them.
#[derive(Debug, PartialEq)]
pub(super) struct Due {
    pub(super) runs: usize,
    pub(super) next: OffsetDateTime,
}

impl Due {
    /// Judges a schedule whose slot `first` has come. `None` if no further slot ever comes.
    pub(super) fn of(
        timetable: &Timetable,
        first: OffsetDateTime,
        now: OffsetDateTime,
        missed: MissedRuns,
    ) -> Option<Self> {
        let next = timetable.after(now)?;
        let past = |slot: Option<OffsetDateTime>| slot.filter(|slot| *slot <= now);
        let runs = match missed {
            MissedRuns::Once => 1,
            MissedRuns::Each => std::iter::successors(Some(first), |slot| past(timetable.after(*slot)))
                .take(MOST_MADE_UP)
                .count(),
            MissedRuns::Skip if now - first < GRACE => 1,
            MissedRuns::Skip => past(timetable.after(now - GRACE)).map_or(0, |_| 1),
        };
        Some(Self { runs, next })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const FIRST: OffsetDateTime = datetime!(2026-05-01 03:00 UTC);

    fn due(missed: MissedRuns, now: OffsetDateTime) -> Due {
        Due::of(&Timetable::read("0 * * * *", "UTC").unwrap(), FIRST, now, missed).unwrap()
    }

    #[test]
    fn in_time_all_policies_are_the_same() {
        let now = FIRST + Duration::from_secs(1);
        for missed in MissedRuns::ALL {
            assert_eq!(due(missed, now), Due { runs: 1, next: datetime!(2026-05-01 04:00 UTC) });
        }
    }

    #[test]
    fn after_an_outage_they_differ() {
        let (now, next) = (datetime!(2026-05-01 06:30 UTC), datetime!(2026-05-01 07:00 UTC));
        assert_eq!(due(MissedRuns::Skip, now), Due { runs: 0, next });
        assert_eq!(due(MissedRuns::Once, now), Due { runs: 1, next });
        assert_eq!(due(MissedRuns::Each, now), Due { runs: 4, next });
    }

    #[test]
    fn the_slot_at_which_it_ends_is_not_missed() {
        let (now, next) = (datetime!(2026-05-01 06:00:30 UTC), datetime!(2026-05-01 07:00 UTC));
        assert_eq!(due(MissedRuns::Skip, now), Due { runs: 1, next });
        assert_eq!(due(MissedRuns::Each, datetime!(2026-05-01 06:00 UTC)).runs, 4);
    }

    #[test]
    fn a_long_outage_is_made_up_for_in_part() {
        let now = FIRST + Duration::from_secs(365 * 24 * 60 * 60);
        let year = due(MissedRuns::Each, now);
        assert_eq!(year.runs, MOST_MADE_UP);
        assert!(year.next > now);
    }
}
