//! Callers at once, and what Postgres says to them.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{join, poll};
use shared_core::InTenant;
use shared_db::Db;
use shared_devkit::Proxy;
use uuid::Uuid;

use super::super::*;
use crate::NewJob;
use crate::backend::{Claim, Fate, Settled, Work};
use crate::conformance::postgres;
use crate::fixture::{Mail, tenant};
use crate::postgres::Store;

fn mail(n: u64) -> Entry {
    NewJob::of(Mail { n }).entry(tenant().context()).unwrap()
}

/// Until it is given back, jobs join.
async fn all_places(store: &Store) -> tokio::sync::OwnedSemaphorePermit {
    store.joined.places.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap()
}

#[tokio::test]
async fn one_that_is_refused_keeps_no_other_out() {
    let (db, ..) = &postgres().await;
    let store = Store::new(db);
    let busy = all_places(&store).await;
    let unfit = Entry { payload: "\0".to_owned(), ..mail(2) };
    let jobs = [mail(1), unfit, mail(3)].map(|job| store.enqueue(vec![job]));
    let mut answers = Box::pin(join_all(jobs));
    assert!(poll!(&mut answers).is_pending());
    drop(busy);
    assert_eq!(answers.await.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

/// The connection ends when jobs are written, and before their callers hear of it. A worker has done them by then.
#[tokio::test]
async fn what_may_have_been_written_is_not_written_again() {
    let (direct, database, _server) = postgres().await;
    let proxy = Proxy::to(database.url()).await.unwrap();
    let db = Db::connect(&shared_db::Config::new(proxy.url(database.url()))).await.unwrap();
    let (store, elsewhere) = (Store::new(&db), Store::new(&direct));
    // The connection knows the statement from here on: its answer is not what is waited for.
    store.enqueue(vec![mail(0), mail(3)]).await.unwrap();
    let busy = all_places(&store).await;
    let mut answers = Box::pin(join_all([mail(1), mail(2)].map(|job| store.enqueue(vec![job]))));
    assert!(poll!(&mut answers).is_pending());
    proxy.to_client().stall_after(0);
    drop(busy);

    let worker = Uuid::new_v4();
    elsewhere.register(worker, &["mail".into()], Duration::from_secs(600)).await.unwrap();
    let take =
        async |number| elsewhere.claim(Claim { queue: "mail", most: 10, worker, number }).await.unwrap();
    let done_meanwhile = async {
        let mut done = 0;
        for claim in 1.. {
            let fate = Fate::Completed { result: None, keep: Duration::ZERO };
            let all = take(claim).await.into_iter();
            let all: Vec<_> = all.map(|job| Settled::new(claim, job.job, fate.clone())).collect();
            assert_eq!(elsewhere.settle(worker, "mail", &all).await.unwrap(), []);
            done += all.len();
            if done == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
        proxy.cut();
        proxy.until(|counters| counters.cut > 0).await.unwrap();
        proxy.heal();
    };
    let (answers, ()) = join!(answers, done_meanwhile);
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert_eq!(take(0).await, []);
}
