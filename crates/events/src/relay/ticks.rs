//! Ticks that are read together: each event between the first and the last has the place that the first of them gives it which sees it.

use shared_db::{Db, statements};

use crate::Error;

statements! {
    const BEHIND: Statement<(i64, i64, i64), (i64, String)> = "
        select tick, snap::text from shared_events.tick where tick > $1 and tick <= $2 order by tick limit $3";
}

/// Ticks that are read together at most. A snapshot is some hundreds of bytes; so many make the cost of a read small beside theirs.
pub(super) const TOGETHER: usize = 256;

/// A tick, and what it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) tick: i64,
    /// The transactions from here on began later.
    xmax: i64,
    /// Those that were open, in order.
    open: Vec<i64>,
}

impl Cut {
    /// A tick whose snapshot has this text: `xmin:xmax:open,open`. What is no such text sees nothing: its events come with a later tick.
    pub(super) fn new(tick: i64, snap: &str) -> Self {
        let mut parts = snap.split(':').skip(1);
        let xmax = parts.next().and_then(|xmax| xmax.parse().ok()).unwrap_or(0);
        let open = parts.next().unwrap_or_default();
        Self { tick, xmax, open: open.split(',').filter_map(|xid| xid.parse().ok()).collect() }
    }

    fn sees(&self, xid: i64) -> bool {
        xid < self.xmax && self.open.binary_search(&xid).is_err()
    }
}

/// The tick that cut off what a committed transaction wrote: the first that sees it, as every later one does.
pub(super) fn of(cuts: &[Cut], xid: i64) -> Option<i64> {
    cuts.get(cuts.partition_point(|cut| !cut.sees(xid))).map(|cut| cut.tick)
}

/// The ticks behind this one, up to that one, in their order; not more than can be read together.
pub(super) async fn behind(db: &Db, passed: i64, to: i64) -> Result<Vec<Cut>, Error> {
    let rows = db.system().all(&BEHIND, (passed, to, TOGETHER as i64)).await?;
    Ok(rows.into_iter().map(|(tick, snap)| Cut::new(tick, &snap)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_first_tick_that_sees_it() {
        let cuts = [Cut::new(3, "10:14:10,12"), Cut::new(5, "12:20:12,15"), Cut::new(9, "21:21:")];
        let ticks = |xids: [i64; 7]| xids.map(|xid| of(&cuts, xid));
        assert_eq!(
            ticks([9, 10, 11, 12, 13, 15, 21]),
            [Some(3), Some(5), Some(3), Some(9), Some(3), Some(9), None]
        );
        assert_eq!(of(&[Cut::new(1, "nothing")], 7), None);
    }
}
