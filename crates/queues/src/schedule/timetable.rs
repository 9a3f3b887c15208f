//! A cron pattern in a time zone.

use std::sync::LazyLock;

use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use time::OffsetDateTime;

/// The longest pattern, in bytes. The longest one that says something, a list of all minutes, is shorter.
const LONGEST_PATTERN: usize = 200;

/// Built in, so that all processes know the same zones, whatever their machines have.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// When a schedule comes.
pub(super) struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// Reads pattern and zone, or says what is wrong with them.
    pub(super) fn read(cron: &str, zone: &str) -> Result<Self, String> {
        if cron.len() > LONGEST_PATTERN {
            return Err(format!("the pattern has {} bytes, and {LONGEST_PATTERN} are the limit", cron.len()));
        }
        // Years would make schedules that end; those are delayed jobs.
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser.parse(cron).map_err(|error| {
            format!("the pattern can't be read ({error}); expected `minute hour day month weekday`, as in `0 3 * * *`")
        })?;
        let zone = ZONES.get(zone).map_err(|_| {
            "the zone is not one of the IANA database; expected a name such as `Europe/Zurich`".to_owned()
        })?;
        Ok(Self { cron, zone })
    }

    /// The first slot after this moment. `None` if there is none: a 30th of February.
    pub(super) fn after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        let from = Zoned::new(Timestamp::from_second(moment.unix_timestamp()).ok()?, self.zone.clone());
        let slot = self.cron.find_next_occurrence(&from, false).ok()?;
        OffsetDateTime::from_unix_timestamp(slot.timestamp().as_second()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    /// The next slots in a zone, by the clock on the wall there and its distance from UTC.
    fn slots(cron: &str, zone: &str, after: &str, most: usize) -> Vec<String> {
        let timetable = Timetable::read(cron, zone).unwrap();
        let slots = std::iter::successors(timetable.after(at(after)), |slot| timetable.after(*slot));
        let zone = ZONES.get(zone).unwrap();
        let wall = |slot: OffsetDateTime| {
            Timestamp::from_second(slot.unix_timestamp()).unwrap().to_zoned(zone.clone())
        };
        slots.take(most).map(|slot| wall(slot).strftime("%d %H:%M %z").to_string()).collect()
    }

    const MARCH: &str = "2026-03-28T00:00:00Z"; // Clocks in Zurich go from 2:00 to 3:00 on the 29th.
    const OCTOBER: &str = "2026-10-24T00:00:00Z"; // They go from 3:00 to 2:00 on the 25th.

    #[test]
    fn a_zone_is_followed_over_the_year() {
        assert_eq!(slots("0 3 * * *", "Europe/Zurich", "2026-01-10T00:00:00Z", 1), ["10 03:00 +0100"]);
        assert_eq!(slots("0 3 * * *", "Europe/Zurich", "2026-07-10T00:00:00Z", 1), ["10 03:00 +0200"]);
        assert_eq!(slots("0 3 * * *", "UTC", "2026-07-10T00:00:00Z", 1), ["10 03:00 +0000"]);
    }

    #[test]
    fn a_daily_slot_in_the_gap_comes_at_its_end() {
        assert_eq!(
            slots("30 2 * * *", "Europe/Zurich", MARCH, 3),
            ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]
        );
    }

    #[test]
    fn a_daily_slot_that_comes_twice_is_taken_the_first_time() {
        assert_eq!(
            slots("30 2 * * *", "Europe/Zurich", OCTOBER, 3),
            ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]
        );
        // Asked in the middle of the hour that comes twice, it is over for that day.
        assert_eq!(slots("30 2 * * *", "Europe/Zurich", "2026-10-25T00:45:00Z", 1), ["26 02:30 +0100"]);
    }

    #[test]
    fn others_leave_out_the_gap_and_come_in_both_hours() {
        assert_eq!(
            slots("*/30 * * * *", "Europe/Zurich", "2026-03-29T00:29:00Z", 3),
            ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]
        );
        assert_eq!(
            slots("*/30 * * * *", "Europe/Zurich", "2026-10-24T23:59:00Z", 6),
            [
                "25 02:00 +0200",
                "25 02:30 +0200",
                "25 02:00 +0100",
                "25 02:30 +0100",
                "25 03:00 +0100",
                "25 03:30 +0100"
            ]
        );
    }

    #[test]
    fn zones_with_other_gaps_are_no_exception() {
        // Half an hour on Lord Howe: from 2:00 to 2:30 on the 4th of October.
        assert_eq!(
            slots("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
            ["04 02:30 +1100", "05 02:15 +1100"]
        );
        // A gap at midnight in Cairo, on the 24th of April.
        assert_eq!(
            slots("0 0 * * *", "Africa/Cairo", "2026-04-23T00:00:00Z", 2),
            ["24 01:00 +0300", "25 00:00 +0300"]
        );
    }

    #[test]
    fn leap_days_and_last_days_come() {
        assert_eq!(slots("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1), ["29 00:00 +0000"]);
        assert_eq!(
            slots("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", 2),
            ["28 00:00 +0000", "31 00:00 +0000"]
        );
        assert_eq!(slots("@daily", "UTC", "2026-02-01T12:00:00Z", 1), ["02 00:00 +0000"]);
        assert_eq!(slots("*/20 * * * * *", "UTC", "2026-02-01T12:00:21Z", 1), ["01 12:00 +0000"]);
    }

    #[test]
    fn a_part_of_a_second_is_no_second() {
        let timetable = Timetable::read("* * * * * *", "UTC").unwrap();
        assert_eq!(timetable.after(at("2026-02-01T12:00:00.9Z")), Some(at("2026-02-01T12:00:01Z")));
    }

    #[test]
    fn a_day_that_never_comes_is_found_out() {
        let never = Timetable::read("0 0 30 2 *", "Europe/Zurich").unwrap();
        assert_eq!(never.after(at(MARCH)), None);
    }

    #[test]
    fn what_can_not_be_read_is_refused_with_what_would_do() {
        for (cron, zone, said) in [
            ("0 3 * *", "UTC", "expected `minute hour day month weekday`"),
            ("0 3 * * * * 2027", "UTC", "expected `minute"),
            ("61 3 * * *", "UTC", "expected `minute"),
            ("", "UTC", "expected `minute"),
            (&"*,".repeat(200), "UTC", "400 bytes"),
            ("0 3 * * *", "Europe/Atlantis", "`Europe/Zurich`"),
            ("0 3 * * *", "", "`Europe/Zurich`"),
        ] {
            let refused = Timetable::read(cron, zone).err().unwrap();
            assert!(refused.contains(said), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(cron in "[0-9*/,LW#?+@a-zA-Z -]{0,40}", zone in "[A-Za-z/_]{0,20}") {
            if let Ok(timetable) = Timetable::read(&cron, "Europe/Zurich") {
                let _ = timetable.after(at(MARCH));
            }
            let _ = Timetable::read("@daily", &zone);
        }

        #[test]
        fn a_slot_is_always_later(seconds in 0i64..4_000_000_000, minute in 0u8..60, hour in 0u8..24) {
            let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            for cron in [format!("{minute} {hour} * * *"), format!("{minute} * * * *")] {
                let timetable = Timetable::read(&cron, "America/New_York").unwrap();
                prop_assert!(timetable.after(moment).unwrap() > moment);
            }
        }
    }
}
