//! How long the sealer waits until it looks again.

use std::time::Duration;

use super::page::PAGE;

/// What may come in one wait: half a page, so that a rate may double from one look to the next and still fill none.
const HALF: u32 = PAGE as u32 / 2;

/// The wait after a look that has found so many entries, `since` the look before: until half a page has come at that rate, and `most`
/// at the longest. None where a whole page was found: the sealer is behind.
pub(super) fn pause(found: usize, since: Duration, most: Duration) -> Duration {
    match u32::try_from(found) {
        Ok(0) => most,
        Ok(found) if found < 2 * HALF => (since.saturating_mul(HALF) / found).min(most),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: Duration = Duration::from_millis(500);
    /// What a look costs with the seals that it makes.
    const LOOK: Duration = Duration::from_millis(20);

    #[test]
    fn a_quiet_log_is_looked_at_as_often_as_set_and_a_full_page_means_no_wait() {
        assert_eq!(pause(0, MOST, MOST), MOST);
        assert_eq!(pause(1, Duration::from_nanos(1), MOST), Duration::from_nanos(500));
        assert_eq!(pause(PAGE / 2, MOST, MOST), MOST);
        assert_eq!(pause(PAGE - 1, MOST, MOST), Duration::from_nanos(250_250_250));
        for found in [PAGE, PAGE + 1, usize::MAX] {
            assert_eq!(pause(found, Duration::MAX, MOST), Duration::ZERO);
        }
        assert_eq!(pause(1, Duration::MAX, MOST), MOST);
    }

    proptest! {
        /// The tail that each look finds, of entries that come at a rate that no look takes by surprise: after the look that has met
        /// the rate for the first time, and one more where that was behind.
        #[test]
        fn at_a_rate_that_lasts_the_tail_is_at_most_a_page(per_second in 1_u32..20_000) {
            let (mut since, mut tails) = (MOST, Vec::new());
            for _ in 0..50 {
                let found = (since * per_second).as_secs() as usize;
                tails.push(found);
                since = LOOK + pause(found, since, MOST);
            }
            let settled = &tails[2..];
            prop_assert!(settled.iter().all(|tail| *tail <= PAGE), "{tails:?}");
        }
    }
}
