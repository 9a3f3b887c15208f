//! What is told of a run.

use std::fmt;

use super::check::Verdict;
use super::history::History;
use super::restarts::{Late, Restarts, percentile};

pub(crate) struct Report<'a>(pub &'a History, pub &'a Verdict);

/// Examples of each kind of broken promise.
const SHOWN: usize = 10;

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(history, verdict) = self;
        let incidents = &history.incidents;
        writeln!(
            f,
            "  {} jobs acknowledged, {} unknown; {} attempts, {} effects, {} dead letters ({} by crashes, {} of them done), {} left",
            history.promised.len(),
            history.unknown,
            history.attempts.len(),
            history.effects.len(),
            history.dead.len(),
            verdict.crashed + verdict.untold,
            verdict.untold,
            history.left,
        )?;
        writeln!(
            f,
            "  {} kills, {} stops, {} outages, {} cuts; clocks off by {:?} s",
            incidents.kills.len(),
            incidents.stops.len(),
            incidents.outages.len(),
            incidents.cuts,
            distinct(&history.clocks),
        )?;
        for (what, found) in verdict.broken() {
            writeln!(f, "  {what:<26}{}", found.len())?;
            found.iter().take(SHOWN).try_for_each(|one| writeln!(f, "    {one}"))?;
        }
        if verdict.in_window > 0 {
            let (lost, window) = (verdict.in_window, verdict.window.as_secs_f64());
            writeln!(
                f,
                "  lost as the server is set up   {lost}, acknowledged up to {window:.2} s before an outage"
            )?;
        }
        if verdict.overtaken > 0 {
            writeln!(
                f,
                "  {} effects by an attempt that another had followed, once each",
                verdict.overtaken
            )?;
        }
        let restarts = &verdict.restarts;
        spread(f, "from a kill to the next attempt", &restarts.clear)?;
        spread(f, "the same, behind a limit or an outage", &restarts.hindered)?;
        for Late { n, took, struck_meanwhile } in restarts.late.iter().take(SHOWN) {
            let took = seconds(*took);
            writeln!(
                f,
                "    job {n} after {took:.2} s; {struck_meanwhile} workers were killed or stopped meanwhile"
            )?;
        }
        let Restarts { given_up, never, .. } = restarts;
        writeln!(
            f,
            "  of jobs of killed workers {given_up} were given up by their crashes, {never} others never ran again"
        )
    }
}

fn spread(f: &mut fmt::Formatter<'_>, what: &str, sorted: &[i64]) -> fmt::Result {
    let at = |percent| percentile(sorted, percent).map_or(0.0, seconds);
    let least = sorted.first().copied().map_or(0.0, seconds);
    writeln!(
        f,
        "  {what}: {} jobs, min {least:.2} s, p50 {:.2} s, p99 {:.2} s, max {:.2} s",
        sorted.len(),
        at(50),
        at(99),
        at(100),
    )
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

fn distinct(clocks: &[i64]) -> Vec<i64> {
    let mut clocks = clocks.to_vec();
    clocks.sort_unstable();
    clocks.dedup();
    clocks
}
