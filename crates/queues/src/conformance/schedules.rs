//! Jobs by the calendar: the store's part of it.

use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;

use super::Scenario;
use super::bench::{Bench, HOUR};
use crate::Enqueued;
use crate::backend::{Entry, StoredSchedule};
use crate::schedule::MissedRuns;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("schedules are written, listed and removed", |bench| Box::pin(listed(bench))),
    ("a schedule that is written again keeps its slot", |bench| Box::pin(written_again(bench))),
    ("a paused schedule is not due, and stays paused", |bench| Box::pin(paused(bench))),
    ("a schedule that was paused since it was found due does not fire", |bench| Box::pin(paused_late(bench))),
    ("of 16 that fire a slot one does", |bench| Box::pin(race(bench))),
    ("a slot that is over fires nothing", |bench| Box::pin(stale(bench))),
    ("a schedule that is put off keeps its slot", |bench| Box::pin(put_off(bench))),
    ("due schedules come a hundred at a time", |bench| Box::pin(many(bench))),
];

/// Due since a while, at a whole second.
fn past() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

async fn future(bench: &Bench) -> OffsetDateTime {
    let (now, _) = bench.backend.due_schedules(&bench.queue).await.unwrap();
    now.replace_nanosecond(0).unwrap() + HOUR
}

fn schedule(bench: &Bench, name: &str) -> StoredSchedule {
    StoredSchedule {
        name: name.to_owned(),
        cron: "0 3 * * *".to_owned(),
        zone: "Europe/Zurich".to_owned(),
        missed: MissedRuns::Once,
        paused: false,
        entry: bench.entry(),
        next: past(),
    }
}

async fn put(bench: &Bench, schedule: &StoredSchedule) {
    bench.backend.put_schedule(schedule).await.unwrap();
}

/// The names of what is due.
async fn due(bench: &Bench) -> Vec<String> {
    let (_, due) = bench.backend.due_schedules(&bench.queue).await.unwrap();
    due.into_iter().map(|schedule| schedule.name).collect()
}

/// The schedule as it is stored, but for the id of its job, which stands for nothing.
async fn stored(bench: &Bench, name: &str) -> StoredSchedule {
    let all = bench.backend.schedules(Some(&bench.queue)).await.unwrap();
    all.into_iter().find(|schedule| schedule.name == name).unwrap()
}

fn is_the_same(found: &StoredSchedule, put: &StoredSchedule) -> bool {
    let entry = Entry { job: put.entry.job, ..found.entry.clone() };
    StoredSchedule { entry, ..found.clone() } == *put
}

async fn listed(bench: Bench) {
    let nightly = schedule(&bench, "nightly");
    let entry = Entry {
        priority: crate::Priority::Low,
        order: Some("k".to_owned()),
        ..bench.limited_by("host", "a")
    };
    let entry = Entry { unique: Some(crate::Unique::throttle("u", HOUR)), delay: HOUR, ..entry };
    let full = StoredSchedule {
        missed: MissedRuns::Each,
        entry,
        next: future(&bench).await,
        ..schedule(&bench, "full")
    };
    put(&bench, &nightly).await;
    put(&bench, &full).await;
    let all = bench.backend.schedules(Some(&bench.queue)).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(is_the_same(&all[0], &full), "{:?}", all[0]);
    assert!(is_the_same(&all[1], &nightly), "{:?}", all[1]);
    assert_eq!(due(&bench).await, ["nightly"]);
    let everywhere = bench.backend.schedules(None).await.unwrap();
    assert_eq!(everywhere.iter().filter(|one| one.entry.queue == *bench.queue).count(), 2);
    assert!(bench.backend.remove_schedule(&bench.queue, "nightly").await.unwrap());
    assert!(!bench.backend.remove_schedule(&bench.queue, "nightly").await.unwrap());
    assert_eq!(due(&bench).await, Vec::<String>::new());
}

async fn written_again(bench: Bench) {
    let first = schedule(&bench, "nightly");
    put(&bench, &first).await;
    let next = future(&bench).await;
    let again = StoredSchedule {
        next,
        missed: MissedRuns::Skip,
        entry: Entry { version: 2, ..bench.entry() },
        ..first.clone()
    };
    put(&bench, &again).await;
    let found = stored(&bench, "nightly").await;
    assert_eq!((found.next, found.missed, found.entry.version), (past(), MissedRuns::Skip, 2));
    put(&bench, &StoredSchedule { cron: "0 4 * * *".to_owned(), ..again }).await;
    assert_eq!(stored(&bench, "nightly").await.next, next, "another time of day has other slots");
}

async fn paused(bench: Bench) {
    put(&bench, &schedule(&bench, "nightly")).await;
    assert!(bench.backend.set_schedule_paused(&bench.queue, "nightly", true).await.unwrap());
    assert!(!bench.backend.set_schedule_paused(&bench.queue, "unknown", true).await.unwrap());
    assert_eq!(due(&bench).await, Vec::<String>::new());
    put(&bench, &schedule(&bench, "nightly")).await;
    assert!(stored(&bench, "nightly").await.paused);
    assert!(bench.backend.set_schedule_paused(&bench.queue, "nightly", false).await.unwrap());
    assert_eq!(due(&bench).await, ["nightly"]);
}

async fn paused_late(bench: Bench) {
    let nightly = schedule(&bench, "nightly");
    put(&bench, &nightly).await;
    assert_eq!(due(&bench).await, ["nightly"]);
    let next = future(&bench).await;
    bench.backend.set_schedule_paused(&bench.queue, "nightly", true).await.unwrap();
    assert!(bench.backend.fire(&nightly, past(), next, bench.entries(1)).await.unwrap().is_none());
    assert_eq!(bench.worker().await.claim(100).await.len(), 0);
    bench.backend.set_schedule_paused(&bench.queue, "nightly", false).await.unwrap();
    assert_eq!(due(&bench).await, ["nightly"], "its slot is there as before");
    assert!(bench.backend.fire(&nightly, past(), next, bench.entries(1)).await.unwrap().is_some());
}

async fn race(bench: Bench) {
    let nightly = schedule(&bench, "nightly");
    put(&bench, &nightly).await;
    let next = future(&bench).await;
    let fires = (0..16).map(|_| bench.backend.fire(&nightly, past(), next, bench.entries(3)));
    let fired = join_all(fires).await.into_iter().filter_map(Result::unwrap);
    let answers: Vec<Vec<Enqueued>> = fired.collect();
    assert!(matches!(&answers[..], [three] if three.len() == 3 && three.iter().all(|one| one.is_inserted())));
    assert_eq!(bench.worker().await.claim(100).await.len(), 3);
    assert_eq!(stored(&bench, "nightly").await.next, next);
    assert_eq!(due(&bench).await, Vec::<String>::new());
}

async fn stale(bench: Bench) {
    let nightly = schedule(&bench, "nightly");
    put(&bench, &nightly).await;
    let next = future(&bench).await;
    let elsewhen = past() + Duration::from_secs(60);
    assert_eq!(bench.backend.fire(&nightly, elsewhen, next, bench.entries(1)).await.unwrap(), None);
    assert_eq!(bench.backend.fire(&nightly, past(), elsewhen, Vec::new()).await.unwrap(), Some(Vec::new()));
    assert_eq!(bench.backend.fire(&nightly, past(), next, bench.entries(1)).await.unwrap(), None);
    bench.backend.remove_schedule(&bench.queue, "nightly").await.unwrap();
    assert_eq!(bench.backend.fire(&nightly, elsewhen, next, bench.entries(1)).await.unwrap(), None);
    bench.nothing_is_left().await;
}

async fn put_off(bench: Bench) {
    let (nightly, until) = (schedule(&bench, "nightly"), future(&bench).await);
    let put_off = async || bench.backend.put_off_schedule(&nightly, until).await.unwrap();
    put(&bench, &nightly).await;
    put_off().await;
    assert_eq!(due(&bench).await, Vec::<String>::new());
    assert!(is_the_same(&stored(&bench, "nightly").await, &nightly));
    // A program that writes it anew may have mended it, and so may whoever lets it go on.
    put(&bench, &nightly).await;
    assert_eq!(due(&bench).await, ["nightly"]);
    put_off().await;
    for paused in [true, false] {
        bench.backend.set_schedule_paused(&bench.queue, "nightly", paused).await.unwrap();
    }
    assert_eq!(due(&bench).await, ["nightly"]);
    put_off().await;
    // Whoever had seen it before may fire it; and nobody puts off what comes after that slot.
    let later = past() + Duration::from_secs(60);
    assert!(bench.backend.fire(&nightly, past(), later, bench.entries(1)).await.unwrap().is_some());
    assert_eq!(due(&bench).await, ["nightly"]);
    put_off().await;
    assert_eq!(due(&bench).await, ["nightly"]);
    bench.backend.put_off_schedule(&schedule(&bench, "unknown"), until).await.unwrap();
    assert_eq!(due(&bench).await, ["nightly"]);
}

async fn many(bench: Bench) {
    for number in 0..120 {
        put(&bench, &schedule(&bench, &format!("n{number}"))).await;
    }
    assert_eq!(due(&bench).await.len(), 100);
    assert_eq!(bench.backend.schedules(Some(&bench.queue)).await.unwrap().len(), 120);
}
