//! Operating: what every backend does is its conformance suite's; here it is what surrounds them. Where time passes, in memory.

use std::time::Duration;

use shared_core::InTenant;
use tokio::time::{Instant, advance};

use super::*;
use crate::backend::Fate;
use crate::fixture::{Fixture, Mail, everywhere, limited};
use crate::{Enqueued, NewJob, Reason, State, Unique};

#[tokio::test]
async fn a_job_says_what_became_of_it() {
    everywhere(async |fixture| {
        let mail = |unique| NewJob::of(Mail { n: 1 }).unique(unique);
        let first = fixture.mails.enqueue(mail(Unique::existing("1"))).await.unwrap();
        assert!(first.is_inserted());
        let again = fixture.mails.enqueue(mail(Unique::existing("1"))).await.unwrap();
        assert_eq!(again, Enqueued::Existing(first.job_id()));
        let refused = fixture.mails.enqueue(mail(Unique::reject("1"))).await.unwrap_err();
        assert!(
            matches!(refused, Error::Duplicate { existing, .. } if existing == first.job_id()),
            "{refused}"
        );
        let invalid = fixture.mails.enqueue(Mail { n: u64::MAX }).await.unwrap_err();
        assert!(matches!(invalid, Error::Invalid { .. }), "{invalid}");
    })
    .await;
}

#[tokio::test]
async fn thousands_are_enqueued_in_their_order_with_an_answer_each() {
    everywhere(async |mut fixture| {
        let answers = fixture.mails.enqueue_all((0..2500).map(|n| Mail { n })).await.unwrap();
        assert_eq!(answers.len(), 2500);
        let claimed = fixture.claim("mail", 2500).await;
        assert!(claimed.iter().map(|job| job.job).eq(answers.iter().map(|answer| answer.job_id())));
        // One that breaks a rule keeps its own thousand out, and those behind.
        let mails = (0..2500).map(|n| Mail { n: if n == 1500 { u64::MAX } else { n } });
        assert!(fixture.mails.enqueue_all(mails).await.is_err());
        assert_eq!(fixture.queues.queue("mail").status().await.unwrap().unwrap().ready, 1000);
        // One that is there already does not.
        let twice = [1, 1, 2].map(|n| NewJob::of(Mail { n }).unique(Unique::reject(n.to_string())));
        let answers = fixture.mails.enqueue_all(twice).await.unwrap();
        assert_eq!(
            answers.iter().map(|answer| answer.is_inserted()).collect::<Vec<_>>(),
            [true, false, true]
        );
    })
    .await;
}

#[tokio::test]
async fn a_job_is_found_in_each_state() {
    everywhere(async |mut fixture| {
        let of =
            |state| JobFilter::new().name("mail:send").tenant(fixture.tenant.context().tenant()).state(state);
        let filters = State::ALL.map(of);
        fixture.dead(1).await;
        fixture.mails.enqueue(limited(1)).await.unwrap();
        fixture.queues.hold("host", Some("example.com"), Duration::from_secs(60)).await.unwrap();
        fixture.mails.enqueue(NewJob::of(Mail { n: 2 }).after(Duration::from_secs(60))).await.unwrap();
        fixture.mail(3).await;
        let keep = Duration::from_secs(60);
        let jobs = fixture.claim("mail", 1).await;
        fixture.settle("mail", &jobs, Fate::Completed { result: None, keep }).await;
        fixture.mail(4).await;
        let jobs = fixture.claim("mail", 1).await;
        fixture.settle("mail", &jobs, Fate::Cancelled { keep }).await;
        fixture.mail(5).await;
        fixture.claim("mail", 1).await;
        fixture.mail(6).await;
        for filter in filters {
            let found = fixture.queues.search(&filter, 10).await.unwrap();
            assert_eq!(found.len(), 1, "{filter:?}");
            assert_eq!(Some(found[0].state), filter.state);
            let same = fixture.queues.job(found[0].job_id).await.unwrap();
            assert_eq!(same.as_ref(), Some(&found[0]));
        }
        let other = JobFilter::new().tenant(crate::fixture::tenant().context().tenant());
        assert_eq!(fixture.queues.search(&other, 10).await.unwrap(), []);
        assert_eq!(fixture.queues.search(&JobFilter::new().queue("mail"), 3).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_redrive_keeps_its_rate() {
    let mut fixture = Fixture::new().await;
    let dead = fixture.dead(25).await;
    let start = Instant::now();
    let back =
        fixture.queues.redrive(DeadFilter::new().queue("mail")).into("bulk").at_rate(10).await.unwrap();
    assert_eq!(back, dead, "all of them, the oldest first");
    assert_eq!(start.elapsed().as_secs(), 2, "ten at once, and ten in each second after");
    assert_eq!(fixture.claim("bulk", 100).await.len(), 25);
}

#[tokio::test]
async fn a_redrive_takes_many_steps_or_as_many_as_it_may() {
    everywhere(async |mut fixture| {
        fixture.dead(450).await;
        assert_eq!(fixture.queues.redrive(DeadFilter::new()).most(130).await.unwrap().len(), 130);
        assert_eq!(fixture.queues.redrive(DeadFilter::new()).await.unwrap().len(), 320);
        assert_eq!(fixture.queues.redrive(DeadFilter::new()).await.unwrap(), []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_dies_while_a_redrive_goes_on_stays_dead() {
    let mut fixture = Fixture::new().await;
    fixture.dead(20).await;
    let redrive = fixture.queues.redrive(DeadFilter::new()).at_rate(10);
    let redrive = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(redrive.into_future()));
    // The first ten die again at once, while the others wait for their second.
    while fixture.queues.queue("mail").status().await.unwrap().unwrap().ready < 10 {
        tokio::task::yield_now().await;
    }
    advance(Duration::from_millis(10)).await;
    let jobs = fixture.claim("mail", 10).await;
    fixture.settle("mail", &jobs, Fate::Dead(Reason::Failed, String::new())).await;
    assert_eq!(redrive.await.unwrap().unwrap().len(), 20);
    assert_eq!(fixture.queues.dead_letters(&DeadFilter::new(), 100).await.unwrap().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_told_apart() {
    let mut fixture = Fixture::new().await;
    let old = fixture.dead(1).await[0];
    advance(Duration::from_secs(3600)).await;
    fixture.mail(1).await;
    let jobs = fixture.claim("mail", 1).await;
    fixture.settle("mail", &jobs, Fate::Dead(Reason::Unreadable, "no".to_owned())).await;
    let young = jobs[0].job;
    let tenant = fixture.tenant.context().tenant();
    for (filter, expected) in [
        (DeadFilter::new().tenant(tenant).name("mail:send").queue("mail"), vec![young, old]),
        (DeadFilter::new().reason(Reason::Unreadable), vec![young]),
        (DeadFilter::new().older_than(Duration::from_secs(60)), vec![old]),
        (old.into(), vec![old]),
        (DeadFilter::new().queue("bulk"), vec![]),
    ] {
        let found = fixture.queues.dead_letters(&filter, 10).await.unwrap();
        assert_eq!(found.iter().map(|letter| letter.job_id).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    assert_eq!(fixture.queues.discard(DeadFilter::new().reason(Reason::Failed), u64::MAX).await.unwrap(), 1);
    assert_eq!(fixture.queues.dead_letters(&DeadFilter::new(), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_before_anything_is_done() {
    let queues = Queues::memory();
    let tenant = crate::fixture::tenant().context().tenant();
    let (long, day) = ("x".repeat(201), Duration::from_secs(24 * 60 * 60));
    let mail = queues.queue("mail");
    for refused in [
        queues.set_limit("two words", None, None).await,
        queues.set_limit("host", Some(&long), None).await,
        queues.set_limit("host", None, Some(Limit::concurrency(0))).await,
        queues.hold("host", None, day + Duration::from_secs(1)).await,
        queues.hold("", None, day).await,
        mail.weight(tenant, 0).await,
        mail.weight(tenant, 101).await,
        mail.limit(Some(Limit::rate(1, Duration::ZERO))).await,
        queues.queue("{mail}").pause().await,
        queues.redrive(DeadFilter::new()).into("a b").await.map(drop),
        queues.redrive(DeadFilter::new()).at_rate(0).await.map(drop),
        queues.redrive(DeadFilter::new().older_than(Duration::ZERO)).await.map(drop),
        queues.redrive(DeadFilter::new().older_than(Duration::from_micros(999))).await.map(drop),
        queues.redrive(DeadFilter::new().queue("")).await.map(drop),
        queues.discard(DeadFilter::new().older_than(Duration::ZERO), 1).await.map(drop),
        queues.discard(DeadFilter::new().older_than(Duration::from_micros(999)), 1).await.map(drop),
        queues.discard(DeadFilter::new().name(""), 1).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    assert_eq!(queues.status().await.unwrap(), []);
    queues.hold("host", None, day).await.unwrap();
    mail.weight(tenant, 100).await.unwrap();
}
