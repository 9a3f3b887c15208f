//! Effects outside of the database, recorded so that later attempts don't repeat them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shared_core::Failure;
use shared_db::statements;
use shared_queues::{Config, Error, JobContext, Jobs, Outcome, State};

use crate::support::{Note, The, config, everywhere, the, until};

statements! {
    /// As if they had been recorded an hour ago, and the old one three.
    const AGE: Statement<(), ()> = "
        update shared_queues.effect set at = at - case name when 'old' then interval '3h' else interval '1h' end";
    const EFFECTS: Statement<(), String> = "select name from shared_queues.effect order by name";
}

#[tokio::test]
async fn an_effect_that_is_recorded_is_not_repeated() {
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 7 }).await;
        let calls = the(AtomicU32::new(0));
        let handler = async |job: Note, cx: JobContext, calls: The<AtomicU32>| -> Result<(), Failure> {
            let call = async || -> Result<_, Failure> { Ok((calls.fetch_add(1, Ordering::Relaxed), job.n)) };
            let receipt: (u32, i64) = cx.once("bank", call).await?;
            assert_eq!(receipt, (0, 7));
            if cx.attempt() < 3 { Err(Failure::new("not yet")) } else { Ok(()) }
        };
        let _worker = bench.start(calls.clone(), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        assert_eq!((calls.load(Ordering::Relaxed), bench.backlog().await.dead), (1, 0), "{job}");
    })
    .await;
}

#[tokio::test]
async fn an_effect_that_fails_is_tried_again_and_names_are_apart() {
    everywhere(async |bench| {
        bench.enqueue(Note { n: 1 }).await;
        let handler = async |_: Note, cx: JobContext| -> Result<(), Failure> {
            let attempt = cx.attempt();
            let flaky =
                async || if attempt < 2 { Err(Failure::new("busy")) } else { Ok("second".to_owned()) };
            assert_eq!(cx.once("flaky", flaky).await?, "second");
            assert_eq!(cx.once("other", async || Ok::<_, Failure>(attempt)).await?, 2);

            let nameless = cx.once("", async || Ok::<_, Error>(1)).await;
            assert!(matches!(nameless, Err(Error::Effect { .. })));
            let read: Result<u32, Error> = cx.once("flaky", async || Ok(1)).await;
            assert!(matches!(read, Err(Error::Effect { what: "read", .. })), "it was recorded as a text");
            Ok(())
        };
        let _worker = bench.start((), Jobs::new().handle(handler), config()).await;
        bench.settle().await;
        assert_eq!(bench.dead_letters().await, []);
    })
    .await;
}

#[tokio::test]
async fn records_are_kept_for_so_long_and_then_an_effect_is_new() {
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 1 }).await;
        let calls = the([const { AtomicU32::new(0) }; 2]);
        let handler = async |_: Note, cx: JobContext, calls: The<[AtomicU32; 2]>| -> Result<_, Failure> {
            for (name, calls) in ["new", "old"].into_iter().zip(calls.iter()) {
                cx.once(name, async || Ok::<_, Error>(calls.fetch_add(1, Ordering::Relaxed))).await?;
            }
            Ok(if cx.attempt() == 1 { Outcome::retry_in(Duration::from_secs(3600)) } else { Outcome::done() })
        };
        // It tidies up every twelve beats.
        let config = Config {
            beat: Duration::from_millis(20),
            keep_effects: Duration::from_secs(2 * 3600),
            ..config()
        };
        let _worker = bench.start(calls.clone(), Jobs::new().handle(handler), config).await;
        until("it is to run again", async || bench.job(job).await.state == State::Scheduled).await;
        let system = bench.db.system();
        assert_eq!(system.execute(&AGE, ()).await.unwrap(), 2);
        until("the old one is forgotten", async || system.all(&EFFECTS, ()).await.unwrap() == ["new"]).await;
        bench.queues.reschedule(job, Duration::ZERO).await.unwrap();
        bench.settle().await;
        assert_eq!([0, 1].map(|of| calls[of].load(Ordering::Relaxed)), [1, 2]);
    })
    .await;
}
