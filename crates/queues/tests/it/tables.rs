//! What tests see and change behind the queues' back.

use shared_db::statements;
use tokio_util::task::AbortOnDropHandle;

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

/// What was stored at a moment.
pub(crate) enum Earlier {
    /// In the schema `earlier`.
    Postgres,
    #[cfg(feature = "redis")]
    Redis(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Earlier {
    pub(crate) async fn of(bench: &Bench) -> Self {
        #[cfg(feature = "redis")]
        if let Backend::Redis = bench.backend {
            return Self::Redis(redis::dump(bench).await);
        }
        let (admin, _admin) = session(&bench.url).await;
        let save = "
            create schema earlier;
            create table earlier.body as table shared_queues.body;
            create table earlier.lease as table shared_queues.lease";
        admin.batch_execute(save).await.unwrap();
        Self::Postgres
    }

    /// What is gone since is there again. What came since stays.
    pub(crate) async fn comes_back(self, bench: &Bench) {
        #[cfg(feature = "redis")]
        if let Self::Redis(dump) = self {
            return redis::restore(bench, &dump).await;
        }
        let (admin, _admin) = session(&bench.url).await;
        let restore = "
            insert into shared_queues.body select * from earlier.body;
            insert into shared_queues.lease select * from earlier.lease";
        admin.batch_execute(restore).await.unwrap();
    }
}

/// As a superuser.
pub(crate) async fn session(url: &str) -> (tokio_postgres::Client, AbortOnDropHandle<()>) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    (client, AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) })))
}

#[cfg(feature = "redis")]
mod redis {
    use shared_db::redis::{Config, FromRedisValue, Redis, cmd};

    use super::Bench;

    pub(super) async fn dump(bench: &Bench) -> Vec<(Vec<u8>, Vec<u8>)> {
        let redis = Redis::connect(&Config::new(bench.part.url())).await.unwrap();
        let all = format!("{{{}:default}}:*", bench.part.prefix());
        let mut keys: Vec<Vec<u8>> = redis.command(cmd("KEYS").arg(all)).await.unwrap();
        // Bodies come before who holds them.
        keys.sort();
        let mut dump = Vec::new();
        for key in keys {
            // Such as a signal that somebody has taken meanwhile.
            let value: Option<Vec<u8>> = redis.command(cmd("DUMP").arg(&key)).await.unwrap();
            dump.extend(value.map(|value| (key, value)));
        }
        dump
    }

    pub(super) async fn restore(bench: &Bench, dump: &[(Vec<u8>, Vec<u8>)]) {
        let redis = Redis::connect(&Config::new(bench.part.url())).await.unwrap();
        for (key, value) in dump {
            let restore = cmd("RESTORE").arg(key).arg(0).arg(value).arg("REPLACE").to_owned();
            let _: String = redis.command(&restore).await.unwrap();
        }
    }

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
