//! Jobs by the calendar, fired by workers.

use std::time::Duration;

use shared_queues::{MissedRuns, Schedule, ScheduleView};

use crate::support::{Act, Bench, Note, config, everywhere, probe};

async fn scheduled(bench: &Bench) -> ScheduleView {
    bench.queues.schedules().list(None).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_slot_is_fired_once_however_many_workers_look() {
    everywhere(async |bench| {
        let probe = probe(Act::Write);
        let every_second = Schedule::cron("every-second", "* * * * * *").missed(MissedRuns::Each);
        bench.queues.schedules().put(every_second.job(&bench.tenant, Note { n: 7 })).await.unwrap();
        let first = scheduled(&bench).await.next;
        let mut workers = Vec::new();
        for _ in 0..3 {
            workers.push(bench.worker(&probe, config()).await);
        }
        probe.started(2).await;
        // A program that starts again puts its schedules again, while others fire them.
        let again = Schedule::cron("every-second", "* * * * * *").missed(MissedRuns::Each);
        bench.queues.schedules().put(again.job(&bench.tenant, Note { n: 7 })).await.unwrap();
        probe.started(4).await;
        assert!(bench.queues.schedules().pause("default", "every-second").await.unwrap());
        bench.settle().await;
        for worker in workers {
            worker.stop(Duration::from_secs(5)).await;
        }
        let slots = (scheduled(&bench).await.next - first).whole_seconds();
        assert_eq!(probe.runs().len() as i64, slots);
        assert!(probe.runs().iter().all(|run| run.n == 7));
    })
    .await;
}
