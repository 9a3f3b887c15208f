//! What tests see and change behind the queues' back.

use shared_db::statements;

use crate::support::Bench;

statements! {
    const EXPIRE: Statement<(), ()> = "update shared_queues.worker set expires_at = '-infinity'";
    const REMOVE: Statement<(), ()> = "delete from shared_queues.worker";
    const WORKERS: Statement<(), i64> = "select count(*) from shared_queues.worker";
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
