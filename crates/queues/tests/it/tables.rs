//! What tests see and change behind the queues' back.

use shared_db::statements;

#[cfg(feature = "redis")]
use crate::support::Backend;
use crate::support::Bench;

statements! {
    const EXPIRE: Statement<(), ()> = "update shared_queues.worker set expires_at = '-infinity'";
    const REMOVE: Statement<(), ()> = "delete from shared_queues.worker";
    const BODIES: Statement<(), i64> = "select count(*) from shared_queues.body";
    const WORKERS: Statement<(), i64> = "select count(*) from shared_queues.worker";
}

/// As if all workers had been silent for too long.
pub(crate) async fn expire_workers(bench: &Bench) {
    #[cfg(feature = "redis")]
    if let Backend::Redis = bench.backend {
        for worker in redis::workers(bench).await {
            redis::ask::<i64>(bench, &["ZADD", "XX", "CH", "1"], Some(&worker)).await;
        }
        return;
    }
    assert!(bench.db.system().execute(&EXPIRE, ()).await.unwrap() > 0);
}

pub(crate) async fn remove_workers(bench: &Bench) {
    #[cfg(feature = "redis")]
    if let Backend::Redis = bench.backend {
        assert_eq!(redis::ask::<i64>(bench, &["DEL"], None).await, 1);
        return;
    }
    assert!(bench.db.system().execute(&REMOVE, ()).await.unwrap() > 0);
}

pub(crate) async fn workers(bench: &Bench) -> i64 {
    #[cfg(feature = "redis")]
    if let Backend::Redis = bench.backend {
        return redis::workers(bench).await.len() as i64;
    }
    bench.db.system().one(&WORKERS, ()).await.unwrap()
}

/// Whatever is stored of jobs that are not over, be it in no line.
pub(crate) async fn bodies(bench: &Bench) -> i64 {
    #[cfg(feature = "redis")]
    if let Backend::Redis = bench.backend {
        return redis::bodies(bench).await;
    }
    bench.db.system().one(&BODIES, ()).await.unwrap()
}

#[cfg(feature = "redis")]
mod redis {
    use shared_db::redis::{Config, FromRedisValue, Redis, cmd};

    use super::Bench;

    /// The workers of the queue `default`.
    pub(super) async fn workers(bench: &Bench) -> Vec<Vec<u8>> {
        ask(bench, &["ZRANGE", "0", "-1"], None).await
    }

    pub(super) async fn bodies(bench: &Bench) -> i64 {
        let redis = Redis::connect(&Config::new(bench.part.url())).await.unwrap();
        let key = format!("{{{}:default}}:bodies", bench.part.prefix());
        redis.command(cmd("HLEN").arg(key)).await.unwrap()
    }

    /// A command about them.
    pub(super) async fn ask<T: FromRedisValue>(bench: &Bench, words: &[&str], worker: Option<&[u8]>) -> T {
        let redis = Redis::connect(&Config::new(bench.part.url())).await.unwrap();
        let mut command = cmd(words[0]);
        command.arg(format!("{{{}:default}}:workers", bench.part.prefix())).arg(&words[1..]).arg(worker);
        redis.command(&command).await.unwrap()
    }
}
