//! What is told of a run.

use std::fmt;

use super::check::Verdict;
use super::history::History;

pub(crate) struct Report<'a>(pub &'a History, pub &'a Verdict);

/// Examples of each kind of broken promise.
const SHOWN: usize = 10;

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(history, verdict) = self;
        let incidents = &history.incidents;
        writeln!(
            f,
            "  {} events committed, {} of them acknowledged; {} effects, {} missing, {} parked; {} in the broker",
            history.raised.len(),
            history.told.len(),
            history.effects.len(),
            history.left,
            history.parked,
            history.lanes.iter().map(Vec::len).sum::<usize>(),
        )?;
        writeln!(
            f,
            "  {} kills of relays and consumers, {} of publishers, {} stops, {} cuts, {} redeliveries",
            incidents.relay_kills.len(),
            incidents.publisher_kills,
            incidents.stops.len(),
            incidents.cuts,
            incidents.redeliveries,
        )?;
        writeln!(
            f,
            "  {} kills of the database, {} of the broker; clocks off by {:?} min",
            incidents.outages.len(),
            incidents.broker_outages.len(),
            history.clocks,
        )?;
        for (what, found) in verdict.broken() {
            writeln!(f, "  {what:<28}{}", found.len())?;
            found.iter().take(SHOWN).try_for_each(|one| writeln!(f, "    {one}"))?;
        }
        let take_overs = &history.take_overs;
        spread(f, "from a kill to a lane's next owner", &take_overs.clear)?;
        spread(f, "from an outage, a stop or another kill meanwhile", &take_overs.hindered)?;
        writeln!(f, "  lanes of killed relays that nobody took: {}", take_overs.never)
    }
}

fn spread(f: &mut fmt::Formatter<'_>, what: &str, sorted: &[i64]) -> fmt::Result {
    let at = |percent| percentile(sorted, percent).map_or(0.0, |micros| micros as f64 / 1e6);
    writeln!(
        f,
        "  {what}: {} lanes, p50 {:.2} s, p99 {:.2} s, most {:.2} s",
        sorted.len(),
        at(50),
        at(99),
        at(100),
    )
}

/// So many of a hundred are no longer than this.
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied()
}
