//! Schedules on the memory backend, by its virtual clock.

use std::time::Duration;

use shared_core::{Context, InTenant};
use time::OffsetDateTime;
use tokio::time::advance;

use super::*;
use crate::backend::StoredSchedule;
use crate::fixture::{Fixture, Mail, everywhere};
use crate::{Error, Queues};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

async fn put(fixture: &Fixture, schedule: Schedule) {
    fixture.queues.schedules().put(schedule.job(&fixture.tenant, Mail { n: 7 })).await.unwrap();
}

async fn next(queues: &Queues) -> OffsetDateTime {
    queues.schedules().list(Some("mail")).await.unwrap()[0].next
}

/// Moves the clock to the next slot, and a moment beyond.
async fn to_next_slot(queues: &Queues) {
    let (now, _) = queues.backend.due_schedules("mail").await.unwrap();
    advance((next(queues).await - now).unsigned_abs() + SECOND).await;
}

async fn ready(queues: &Queues) -> u64 {
    queues.backlog().await.unwrap().ready
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_fired_when_it_comes_and_the_next_one_waits() {
    let mut fixture = Fixture::new().await;
    let queues = fixture.queues.clone();
    put(&fixture, Schedule::cron("hourly", "0 * * * *")).await;
    tick(&queues, "mail").await.unwrap();
    assert_eq!(ready(&queues).await, 0);
    let slot = next(&queues).await;
    to_next_slot(&queues).await;
    tick(&queues, "bulk").await.unwrap();
    assert_eq!(ready(&queues).await, 0, "another queue's workers leave it alone");
    tick(&queues, "mail").await.unwrap();
    tick(&queues, "mail").await.unwrap();
    assert_eq!(ready(&queues).await, 1);
    assert_eq!(next(&queues).await, slot + HOUR);
    let job = &fixture.claim("mail", 5).await[0];
    assert_eq!((job.name.as_str(), job.payload.as_str()), ("mail:send", r#"{"n":7}"#));
    assert_eq!(job.tenant, fixture.tenant.context().tenant());
}

#[tokio::test(start_paused = true)]
async fn each_run_is_a_job_and_a_conversation_of_its_own() {
    let mut fixture = Fixture::new().await;
    let queues = fixture.queues.clone();
    put(&fixture, Schedule::cron("hourly", "0 * * * *")).await;
    for _ in 0..2 {
        to_next_slot(&queues).await;
        tick(&queues, "mail").await.unwrap();
    }
    let jobs = fixture.claim("mail", 5).await;
    let contexts: Vec<Context> = jobs.iter().map(|job| serde_json::from_str(&job.context).unwrap()).collect();
    assert_ne!(jobs[0].job, jobs[1].job);
    assert_ne!(contexts[0].correlation(), contexts[1].correlation());
    assert_ne!(contexts[0].correlation(), fixture.tenant.context().correlation());
    assert_eq!(contexts[0].actor(), fixture.tenant.context().actor());
}

#[tokio::test(start_paused = true)]
async fn of_many_that_look_at_once_one_fires() {
    let fixture = Fixture::new().await;
    put(&fixture, Schedule::cron("hourly", "0 * * * *")).await;
    to_next_slot(&fixture.queues).await;
    let workers = (0..16).map(|_| tick(&fixture.queues, "mail"));
    futures_util::future::try_join_all(workers).await.unwrap();
    assert_eq!(ready(&fixture.queues).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_an_outage_left_out_is_made_up_for_as_it_was_said() {
    for (missed, runs) in [(MissedRuns::Skip, 0), (MissedRuns::Once, 1), (MissedRuns::Each, 3)] {
        let fixture = Fixture::new().await;
        put(&fixture, Schedule::cron("hourly", "0 * * * *").missed(missed)).await;
        to_next_slot(&fixture.queues).await;
        advance(HOUR * 2 + HOUR / 2).await;
        tick(&fixture.queues, "mail").await.unwrap();
        tick(&fixture.queues, "mail").await.unwrap();
        assert_eq!(ready(&fixture.queues).await, runs, "{missed:?}");
    }
}

/// The three last slots were missed: the latest is half an hour ago, by the backend's clock.
#[tokio::test]
async fn each_backend_makes_up_for_what_was_missed_as_it_was_said() {
    everywhere(async |mut fixture| {
        let backend = fixture.queues.backend.clone();
        let (now, _) = backend.due_schedules("mail").await.unwrap();
        let half_past = now - HOUR / 2;
        let latest = half_past.replace_second(0).unwrap().replace_nanosecond(0).unwrap();
        for (missed, runs) in [(MissedRuns::Skip, 0), (MissedRuns::Once, 1), (MissedRuns::Each, 3)] {
            let hourly = Schedule::cron("hourly", format!("{} * * * *", latest.minute())).missed(missed);
            put(&fixture, hourly).await;
            let stored = backend.schedules(Some("mail")).await.unwrap().remove(0);
            assert!(backend.remove_schedule("mail", "hourly").await.unwrap());
            backend.put_schedule(&StoredSchedule { next: latest - HOUR * 2, ..stored }).await.unwrap();
            for _ in 0..2 {
                tick(&fixture.queues, "mail").await.unwrap();
            }
            assert_eq!(fixture.claim("mail", 100).await.len(), runs, "{missed:?}");
            assert_eq!(next(&fixture.queues).await, latest + HOUR, "{missed:?}");
            assert!(backend.remove_schedule("mail", "hourly").await.unwrap());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_program_may_put_its_schedule_at_every_start() {
    let fixture = Fixture::new().await;
    let (queues, schedules) = (&fixture.queues, fixture.queues.schedules());
    let hourly = || Schedule::cron("hourly", "0 * * * *");
    put(&fixture, hourly()).await;
    let slot = next(queues).await;
    to_next_slot(queues).await;
    put(&fixture, hourly()).await;
    assert_eq!(next(queues).await, slot, "the slot that was missed is still there to be judged");
    // Another pattern begins anew.
    put(&fixture, Schedule::cron("hourly", "30 * * * *")).await;
    assert!(next(queues).await > slot);
    // What an operator has stopped stays so.
    assert!(schedules.pause("mail", "hourly").await.unwrap());
    put(&fixture, hourly().missed(MissedRuns::Each)).await;
    let stored = &schedules.list(None).await.unwrap()[0];
    assert_eq!((stored.paused, stored.missed), (true, MissedRuns::Each));
    to_next_slot(queues).await;
    tick(queues, "mail").await.unwrap();
    assert_eq!(ready(queues).await, 0);
    assert!(schedules.resume("mail", "hourly").await.unwrap());
    tick(queues, "mail").await.unwrap();
    assert_eq!(ready(queues).await, 1);
}

#[tokio::test(start_paused = true)]
async fn schedules_are_edited_and_removed() {
    let fixture = Fixture::new().await;
    let schedules = fixture.queues.schedules();
    put(&fixture, Schedule::cron("nightly", "0 3 * * *").zone("Europe/Zurich")).await;
    let edit = ScheduleEdit::new().cron("30 4 * * *").missed(MissedRuns::Skip);
    let edited = schedules.edit("mail", "nightly", edit).await.unwrap().unwrap();
    assert_eq!((edited.cron.as_str(), edited.zone.as_str()), ("30 4 * * *", "Europe/Zurich"));
    assert_eq!(
        (edited.missed, edited.job.as_str(), edited.queue.as_str()),
        (MissedRuns::Skip, "mail:send", "mail")
    );
    assert_eq!(edited.next.minute(), 30);
    let unread = schedules.edit("mail", "nightly", ScheduleEdit::new().cron("soon")).await;
    assert!(matches!(unread, Err(Error::Schedule { .. })), "{unread:?}");
    assert_eq!(schedules.list(None).await.unwrap(), [edited]);
    assert_eq!(schedules.edit("mail", "other", ScheduleEdit::new()).await.unwrap(), None);
    assert!(schedules.remove("mail", "nightly").await.unwrap());
    assert!(!schedules.remove("mail", "nightly").await.unwrap());
    assert!(!schedules.pause("mail", "nightly").await.unwrap());
}

#[tokio::test]
async fn what_can_not_be_followed_is_not_written() {
    let fixture = Fixture::new().await;
    let schedules = fixture.queues.schedules();
    for schedule in [
        Schedule::cron("nightly", "0 3 * *"),
        Schedule::cron("nightly", "0 3 * * *").zone("Europe/Atlantis"),
        Schedule::cron("never", "0 0 31 2 *"),
        Schedule::cron("two words", "0 3 * * *"),
    ] {
        let refused = schedules.put(schedule.clone().job(&fixture.tenant, Mail { n: 1 })).await;
        assert!(matches!(refused, Err(Error::Schedule { .. })), "{schedule:?}: {refused:?}");
    }
    let refused =
        schedules.put(Schedule::cron("a", "@daily").job(&fixture.tenant, Mail { n: u64::MAX })).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert_eq!(schedules.list(None).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_this_program_can_not_read_does_not_keep_others_back() {
    let fixture = Fixture::new().await;
    let queues = &fixture.queues;
    put(&fixture, Schedule::cron("hourly", "0 * * * *")).await;
    to_next_slot(queues).await;
    let mut newer = queues.backend.schedules(None).await.unwrap().remove(0);
    (newer.name, newer.cron) = ("a-newer-kind".to_owned(), "every full moon".to_owned());
    queues.backend.put_schedule(&newer).await.unwrap();
    tick(queues, "mail").await.unwrap();
    assert_eq!(ready(queues).await, 1);
    let (_, due) = queues.backend.due_schedules("mail").await.unwrap();
    assert_eq!(due, [], "it is left alone");
    advance(SECOND * 9).await;
    tick(queues, "mail").await.unwrap();
    advance(SECOND).await;
    let (_, due) = queues.backend.due_schedules("mail").await.unwrap();
    assert_eq!(due, [newer], "it is looked at again, and its slot is there for those who can read it");
}
