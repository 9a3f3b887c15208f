//! Tower's layers around handlers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared_core::Failure;
use shared_queues::{JobCall, JobContext, Jobs, Outcome, Reason};
use tower::timeout::TimeoutLayer;
use tower::util::{MapRequestLayer, MapResponseLayer};

use crate::support::{Act, Note, config, everywhere, note, probe};

#[tokio::test]
async fn they_see_each_attempt_the_last_one_first_and_what_became_of_it() {
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 1 }).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let say = |word: &'static str| {
            let seen = seen.clone();
            MapRequestLayer::new(move |call: JobCall| {
                assert_eq!(
                    (call.name(), call.queue(), call.context().job_id()),
                    ("test:note", "default", job)
                );
                seen.lock().unwrap().push((word, call.context().attempt()));
                call
            })
        };
        let jobs = Jobs::new().handle(note).layer(say("inner")).layer(say("outer"));
        let _worker = bench.start(probe(Act::FailOnce), jobs, config()).await;
        bench.settle().await;
        assert_eq!(*seen.lock().unwrap(), [("outer", 1), ("inner", 1), ("outer", 2), ("inner", 2)]);
    })
    .await;
}

#[tokio::test]
async fn their_errors_are_failed_attempts_and_a_handlers_failure_passes_through() {
    everywhere(async |bench| {
        let slow = bench.enqueue(Note { n: 1 }).await;
        let hopeless = bench.enqueue(Note { n: 2 }).await;
        let handler = async |job: Note, _: JobContext| -> Result<(), Failure> {
            match job.n {
                1 => std::future::pending().await,
                _ => Err(Failure::dead("hopeless")),
            }
        };
        let jobs = Jobs::new().handle(handler).layer(TimeoutLayer::new(Duration::from_millis(20)));
        let _worker = bench.start((), jobs, config()).await;
        bench.settle().await;
        let letters = bench.dead_letters().await;
        let letter = |job| letters.iter().find(|letter| letter.job_id == job).unwrap();
        assert_eq!((letter(slow).reason, letter(slow).attempts), (Reason::Exhausted, 3));
        assert_eq!(letter(slow).error, "request timed out");
        assert_eq!((letter(hopeless).reason, letter(hopeless).attempts), (Reason::Failed, 1));
        assert_eq!(letter(hopeless).error, "hopeless");
    })
    .await;
}

#[tokio::test]
async fn what_they_return_is_the_outcome() {
    everywhere(async |bench| {
        bench.enqueue(Note { n: 1 }).await;
        let later = MapResponseLayer::new(|_: Outcome| Outcome::snooze(Duration::from_secs(60)));
        let probe = probe(Act::Write);
        let _worker = bench.start(probe.clone(), Jobs::new().handle(note).layer(later), config()).await;
        crate::support::until("it sleeps", async || bench.backlog().await.scheduled == 1).await;
        assert_eq!(probe.runs().len(), 1);
    })
    .await;
}
