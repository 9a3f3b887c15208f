//! What tests see and change behind the queues' back.

use shared_db::statements;

use crate::support::Bench;

statements! {
    const ATTEMPTS: Statement<(), i32> = "select attempts from shared_queues.body order by id";
    const SPOIL: Statement<(String, String), ()> = "
        update shared_queues.body set payload = $2 where payload = $1";
    const NEXT_DUE: Statement<(), f64> = "
        select extract(epoch from min(due_at) - clock_timestamp())::float8 from shared_queues.scheduled";
    const EXPIRE: Statement<(), ()> = "update shared_queues.worker set expires_at = '-infinity'";
    const REMOVE: Statement<(), ()> = "delete from shared_queues.worker";
    const WORKERS: Statement<(), i64> = "select count(*) from shared_queues.worker";
}

/// Failed attempts of all jobs that are not dead.
pub(crate) async fn attempts(bench: &Bench) -> Vec<i32> {
    bench.db.system().all(&ATTEMPTS, ()).await.unwrap()
}

/// Writes another payload in place of that of note `n`.
pub(crate) async fn spoil(bench: &Bench, n: i64, payload: &str) {
    let was = format!(r#"{{"n":{n}}}"#);
    assert_eq!(bench.db.system().execute(&SPOIL, (was, payload)).await.unwrap(), 1);
}

/// Seconds until the next job is due.
pub(crate) async fn next_due_in(bench: &Bench) -> f64 {
    bench.db.system().one(&NEXT_DUE, ()).await.unwrap()
}

/// As if all workers had been silent for too long.
pub(crate) async fn expire_workers(bench: &Bench) {
    assert!(bench.db.system().execute(&EXPIRE, ()).await.unwrap() > 0);
}

pub(crate) async fn remove_workers(bench: &Bench) {
    assert!(bench.db.system().execute(&REMOVE, ()).await.unwrap() > 0);
}

pub(crate) async fn workers(bench: &Bench) -> i64 {
    bench.db.system().one(&WORKERS, ()).await.unwrap()
}
