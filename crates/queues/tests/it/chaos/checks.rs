//! Each promise, broken by hand.

use std::time::Duration;

use shared_queues::Reason;
use uuid::Uuid;

use super::parts::check::Verdict;
use super::parts::faults::Outage;
use super::parts::history::{Attempted, Effect, History};
use super::parts::plan::{Aof, Fate, Lane, PER_HOST, Place, Plan};

const SECOND: i64 = 1_000_000;

fn plan() -> Plan {
    Plan::short(Place::Postgres, 1)
}

/// All jobs done one after the other, a second each.
fn kept() -> History {
    let mut history = History::default();
    for n in 0..plan().jobs {
        history.promised.insert(n, 0);
        if plan().job(n).fate == Fate::Hopeless {
            history.dead.push((n, Reason::Failed));
        } else {
            attempt(&mut history, n, n as i64 * SECOND, true);
        }
    }
    history
}

/// An attempt of half a second, which takes effect or does not.
fn attempt(history: &mut History, n: u64, began: i64, effect: bool) {
    let (id, ended) = (Uuid::now_v7(), began + SECOND / 2);
    history.attempts.push(Attempted { id, n, worker: 0, began, ended: Some(ended) });
    if effect {
        history.effects.push(Effect { n, attempt: id, at: ended });
    }
    history.attempts.sort_unstable_by_key(|attempt| attempt.began);
}

/// The jobs that do succeed in a lane like this.
fn jobs_in(is: impl Fn(Lane) -> bool) -> Vec<u64> {
    let fits = |n: &u64| is(plan().job(*n).lane) && plan().job(*n).fate != Fate::Hopeless;
    (0..plan().jobs).filter(fits).collect()
}

/// What is broken, and how often.
fn broken(history: &History) -> Vec<(&'static str, usize)> {
    let verdict = Verdict::of(&plan(), history);
    let found = verdict.broken().into_iter().map(|(what, found)| (what, found.len()));
    found.filter(|(_, count)| *count > 0).collect()
}

fn job(history: &mut History, n: u64) -> &mut Attempted {
    history.attempts.iter_mut().find(|attempt| attempt.n == n).unwrap()
}

#[test]
fn nothing_is_found_where_nothing_is_broken() {
    assert_eq!(broken(&kept()), []);
}

#[test]
fn a_job_that_is_gone_is_found() {
    let mut history = kept();
    let gone = jobs_in(|lane| lane == Lane::None)[3];
    history.effects.retain(|effect| effect.n != gone);
    assert_eq!(broken(&history), [("lost", 1)]);
}

#[test]
fn a_second_effect_is_found() {
    let mut history = kept();
    attempt(&mut history, jobs_in(|lane| lane == Lane::None)[3], 1000 * SECOND, true);
    assert_eq!(broken(&history), [("effects twice", 1)]);
}

#[test]
fn an_effect_after_the_job_was_given_to_another_is_found() {
    let mut history = kept();
    let stale = jobs_in(|lane| lane == Lane::None)[3];
    let began = job(&mut history, stale).began;
    attempt(&mut history, stale, began + SECOND / 4, false);
    assert_eq!(broken(&history), [("effects of stale workers", 1)]);
}

#[test]
fn jobs_of_a_key_that_overlap_or_swap_are_found() {
    let first = Lane::Ordered { tenant: 0, key: 0 };
    let jobs = jobs_in(|lane| lane == first);
    let (one, two) = (jobs[0], jobs[1]);
    let mut overlap = kept();
    let second = *job(&mut overlap, two);
    job(&mut overlap, one).ended = Some(second.began + 1);
    assert_eq!(broken(&overlap), [("out of order", 1)]);

    let mut swapped = kept();
    let first = *job(&mut swapped, one);
    (job(&mut swapped, one).began, job(&mut swapped, one).ended) = (second.began, second.ended);
    (job(&mut swapped, two).began, job(&mut swapped, two).ended) = (first.began, first.ended);
    assert_eq!(broken(&swapped), [("out of order", 1)]);
}

#[test]
fn more_at_once_than_a_limit_allows_is_found() {
    let mut history = kept();
    let jobs = jobs_in(|lane| lane == Lane::Host(0));
    let together = &jobs[..PER_HOST as usize + 1];
    for &n in together {
        (job(&mut history, n).began, job(&mut history, n).ended) = (0, Some(SECOND));
    }
    assert_eq!(broken(&history), [("beyond limits", 1)]);
}

#[test]
fn a_faster_pace_than_the_limit_is_found() {
    let mut history = kept();
    history.limited_since = jobs_in(|lane| lane == Lane::Paced)[0] as i64 * SECOND + SECOND;
    // The first one begins a second before there is a bucket.
    assert_eq!(broken(&history), [("beyond limits", 1)]);
}

#[test]
fn a_dead_letter_that_nobody_planned_is_found() {
    let mut history = kept();
    let dead = jobs_in(|lane| lane == Lane::None)[3];
    history.effects.retain(|effect| effect.n != dead);
    history.dead.push((dead, Reason::Exhausted));
    assert_eq!(broken(&history), [("wrongly dead", 1)]);
    // One that three workers have died with is no surprise.
    history.dead.last_mut().unwrap().1 = Reason::Crashed;
    assert_eq!(broken(&history), []);
}

/// A hundred jobs whose workers were killed. They ran again as soon as is promised, but so many a moment later.
fn killed(late: usize) -> History {
    let (mut history, soon) = (kept(), plan().soon.as_micros() as i64);
    for (nth, n) in jobs_in(|lane| lane == Lane::None).into_iter().take(100).enumerate() {
        let at = job(&mut history, n).began - soon - i64::from(nth < late);
        history.attempts.push(Attempted { id: Uuid::now_v7(), n, worker: 1, began: at - 1, ended: None });
        history.incidents.kills.push((1, at, at + 1));
    }
    history.attempts.sort_unstable_by_key(|attempt| attempt.began);
    history
}

#[test]
fn jobs_of_killed_workers_that_run_again_too_late_are_found() {
    assert_eq!(Plan::long(Place::Postgres, 1, 1).soon, Duration::from_secs(20), "at the defaults");
    assert_eq!(broken(&killed(1)), []);
    assert_eq!(broken(&killed(2)), [("late after a kill", 1)]);
}

/// An outage of a Redis that forgets what it has acknowledged in the last three seconds; and whether a job of this moment, which is gone,
/// is lost all the same.
fn is_lost(place: Place, acknowledged: i64) -> bool {
    let mut history = kept();
    let gone = jobs_in(|lane| lane == Lane::None)[3];
    history.effects.retain(|effect| effect.n != gone);
    history.promised.insert(gone, acknowledged);
    let forgotten_since = (place != Place::Postgres).then_some(17 * SECOND);
    history.incidents.outages.push(Outage { forgotten_since, down: 20 * SECOND, up: 21 * SECOND });
    let verdict = Verdict::of(&Plan::short(place, 1), &history);
    assert_eq!(verdict.lost.len() + verdict.in_window, 1);
    !verdict.lost.is_empty()
}

#[test]
fn what_a_server_may_forget_is_not_lost_and_all_else_is() {
    let torn = Place::Redis(Aof::Torn);
    assert!(is_lost(torn, 17 * SECOND - 1));
    assert!(!is_lost(torn, 17 * SECOND));
    assert!(!is_lost(torn, 20 * SECOND + 500), "acknowledged while it was being killed");
    assert!(is_lost(torn, 21 * SECOND), "acknowledged by the server that had come back");
    assert!(is_lost(Place::Postgres, 20 * SECOND - 1));
}
