//! Reads from a real streaming replica: never older than was asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_core::{Id, Secret};
use shared_db::{Config, Consistency, Db, Error, bootstrap, statements};
use shared_devkit::{Postgres, Replica};

use crate::storm::{cut_after, scattered};
use crate::support::{BODIES, COUNT, Done, INSERT, NOTES, admin, at_work, eventually, tenant};

statements! {
    const SLOW: Statement<(i64, f64), (i64, bool)> = "select $1::int8, pg_is_in_recovery() from pg_sleep($2)";
    const PORT: Statement<(), String> = "select current_setting('port')";
    const ON_REPLICA: Statement<(), bool> = "select pg_is_in_recovery()";
}

const RECENT: Consistency = Consistency::Eventual { max_lag: Duration::from_secs(30) };

struct Pair {
    server: Postgres,
    replica: Replica,
    config: Config,
    db: Db,
}

async fn pair() -> Pair {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    let replica = server.replica().await.unwrap();
    config.replica_urls = vec![Secret::new(replica.url())];
    config.replica_poll = Duration::from_millis(5);
    let db = Db::connect(&config).await.unwrap();
    Pair { server, replica, config, db }
}

/// Whether a read of this kind is answered by the replica.
async fn by_replica(db: &Db, consistency: Consistency) -> bool {
    db.tenant(&tenant()).consistency(consistency).one(&ON_REPLICA, ()).await.unwrap()
}

#[tokio::test]
async fn a_read_goes_where_it_may_and_never_to_a_replica_that_is_behind_it() {
    let Pair { replica, db, .. } = pair().await;
    let tenant = tenant();
    let notes = db.tenant(&tenant);
    assert_eq!(notes.committed_at(), None);
    assert!(!by_replica(&db, Consistency::Primary).await);
    eventually(Duration::from_secs(20), async || by_replica(&db, RECENT).await).await;

    // A replica that stands still answers what is old enough for it, and nothing else.
    notes.one(&INSERT, (Id::new(), "first")).await.unwrap();
    let first = notes.committed_at().unwrap();
    eventually(Duration::from_secs(20), async || by_replica(&db, Consistency::AtLeast(first)).await).await;
    replica.pause_replay().await.unwrap();
    notes.tx(async |tx| -> Done { tx.one(&INSERT, (Id::new(), "second")).await.map(drop) }).await.unwrap();
    let second = notes.committed_at().unwrap();
    assert!(second > first);
    let read = async |consistency| notes.clone().consistency(consistency).one(&COUNT, ()).await.unwrap();
    assert_eq!(read(Consistency::AtLeast(first)).await, 1, "the replica has the first one alone");
    assert_eq!(read(Consistency::AtLeast(second)).await, 2, "so the primary answers");
    assert!(!by_replica(&db, Consistency::Eventual { max_lag: Duration::ZERO }).await);

    replica.resume_replay().await.unwrap();
    eventually(Duration::from_secs(20), async || by_replica(&db, Consistency::AtLeast(second)).await).await;
    assert_eq!(read(Consistency::AtLeast(second)).await, 2);

    let refused = notes.consistency(RECENT).one(&INSERT, (Id::new(), "third")).await.unwrap_err();
    assert_eq!(refused.code(), Some("25006"), "a replica takes no writes: {refused}");
}

#[tokio::test]
async fn a_dead_replica_is_left_out_and_comes_back() {
    let Pair { mut replica, db, .. } = pair().await;
    eventually(Duration::from_secs(20), async || by_replica(&db, RECENT).await).await;
    replica.server().kill().await.unwrap();
    for _ in 0..50 {
        assert!(!by_replica(&db, RECENT).await, "no read fails, and none comes from a dead server");
    }
    replica.server_mut().start().await.unwrap();
    eventually(Duration::from_secs(20), async || by_replica(&db, RECENT).await).await;

    // One that hangs is noticed by the look at it, which has a second.
    replica.server().pause().await.unwrap();
    eventually(Duration::from_secs(20), async || {
        let read = by_replica(&db, RECENT);
        tokio::time::timeout(Duration::from_millis(500), read).await == Ok(false)
    })
    .await;
    replica.server().resume().await.unwrap();
    eventually(Duration::from_secs(20), async || by_replica(&db, RECENT).await).await;
}

#[tokio::test]
async fn under_writes_every_reader_sees_its_own() {
    let pair = pair().await;
    let db = &pair.db;
    let writers = (0..8).map(async |_| {
        let tenant = tenant();
        let notes = db.tenant(&tenant);
        let mut by_replica = 0;
        for written in 1..=50 {
            notes.one(&INSERT, (Id::new(), "mine")).await.unwrap();
            let mine = Consistency::AtLeast(notes.committed_at().unwrap());
            let reader = notes.clone().consistency(mine);
            assert_eq!(reader.all(&BODIES, ()).await.unwrap().len(), written);
            by_replica += usize::from(reader.one(&ON_REPLICA, ()).await.unwrap());
        }
        by_replica
    });
    let by_replica: usize = futures_util::future::join_all(writers).await.into_iter().sum();
    // Not asserted to be many: on a busy machine the replica may be behind at every look.
    assert!(by_replica <= 8 * 50);
}

#[tokio::test]
async fn after_a_failover_the_promoted_replica_takes_the_writes() {
    let Pair { server, replica, mut config, db } = pair().await;
    let tenant = tenant();
    let notes = db.tenant(&tenant);
    notes.one(&INSERT, (Id::new(), "before")).await.unwrap();
    replica.caught_up().await.unwrap();

    // The URL names both, and asks for the one that takes writes.
    config.url = Secret::new(both(server.url(), replica.url()));
    config.replica_urls.clear();
    let db = Db::connect(&config).await.unwrap();
    let notes = db.tenant(&tenant);
    notes.one(&INSERT, (Id::new(), "also before")).await.unwrap();
    replica.caught_up().await.unwrap();
    server.kill().await.unwrap();
    let _promoted = replica.promote().await.unwrap();

    let mut told = Vec::new();
    eventually(Duration::from_secs(30), async || match notes.one(&INSERT, (Id::new(), "after")).await {
        Ok(_) => true,
        Err(error) => {
            told.push(error);
            false
        }
    })
    .await;
    for error in &told {
        assert!(error.is_retryable() || matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    }
    let bodies = notes.all(&BODIES, ()).await.unwrap();
    let count = |body: &str| bodies.iter().filter(|one| *one == body).count();
    assert_eq!((count("before"), count("also before")), (1, 1), "{bodies:?}");
    let unknown = told.iter().filter(|error| matches!(error, Error::OutcomeUnknown { .. })).count();
    assert!((1..=1 + unknown).contains(&count("after")), "{bodies:?} {told:?}");
}

/// One URL for the hosts of two.
fn both(one: &str, other: &str) -> String {
    let host = |url: &str| {
        let (_, after) = url.split_once('@').unwrap();
        after.split('/').next().unwrap().to_owned()
    };
    let (before, after) = one.split_once('@').unwrap();
    let (_, database) = after.split_once('/').unwrap();
    format!("{before}@{},{}/{database}?target_session_attrs=read-write", host(one), host(other))
}

#[tokio::test]
async fn reads_are_spread_over_the_replicas_and_go_round_a_dead_one() {
    let Pair { server, mut replica, mut config, db } = pair().await;
    drop(db);
    let second = server.replica().await.unwrap();
    config.replica_urls.push(Secret::new(second.url()));
    let db = Db::connect(&config).await.unwrap();
    let tenant = tenant();
    let recent = db.tenant(&tenant).consistency(RECENT);
    let answered_by = async || {
        let mut by = BTreeMap::new();
        for _ in 0..20 {
            *by.entry(recent.one(&PORT, ()).await.unwrap()).or_insert(0) += 1;
        }
        by.into_values().collect::<Vec<_>>()
    };
    eventually(Duration::from_secs(20), async || answered_by().await == [10, 10]).await;
    replica.server().kill().await.unwrap();
    assert!(!answered_by().await.is_empty(), "no read fails");
    eventually(Duration::from_secs(20), async || answered_by().await == [20]).await;
    replica.server_mut().start().await.unwrap();
    eventually(Duration::from_secs(20), async || answered_by().await == [10, 10]).await;
}

#[tokio::test]
async fn a_read_from_a_replica_that_is_dropped_at_any_point_leaves_nothing() {
    let Pair { replica, config, db, .. } = pair().await;
    eventually(Duration::from_secs(20), async || by_replica(&db, RECENT).await).await;
    let tenant = tenant();
    let reader = db.tenant(&tenant).consistency(RECENT);
    let (mut cut, mut by_replica) = (0, 0);
    for nonce in 0..400 {
        // What takes long is given up by the clock, if not by a count of polls.
        let (pause, patience) = [(0.0, 20_000), (0.001, 20_000), (30.0, 10)][nonce as usize % 3];
        let slow = reader.one(&SLOW, (nonce, pause));
        let read = tokio::time::timeout(Duration::from_millis(patience), slow);
        match cut_after(scattered(nonce as u64) % 10, read).await {
            Some(Ok(answer)) => {
                let (answer, is_replica) = answer.unwrap();
                assert_eq!(answer, nonce, "the answer to another question");
                by_replica += usize::from(is_replica);
            }
            _ => cut += 1,
        }
    }
    assert!(cut > 100 && by_replica > 20, "{cut} were cut, {by_replica} answered: that tests nothing");
    let mut on_replica = config.clone();
    on_replica.url = Secret::new(replica.url());
    let admin = admin(&on_replica).await;
    eventually(Duration::from_secs(10), async || at_work(&admin).await.is_empty()).await;
    assert_eq!(db.close(Duration::from_secs(5)).await, shared_db::Closed::default());
}
