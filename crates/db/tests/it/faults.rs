//! Writers under load while their server is killed, stopped, frozen and brought back: what each was told is what happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use shared_core::{AssumedTenant, Id};
use shared_db::{Config, Db, Error, bootstrap};
use shared_devkit::Shutdown;

use crate::support::{BODIES, Done, INSERT, NOTES, eventually, tenant};

/// What a writer was told of each of its notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Done,
    Failed,
    Unknown,
}

impl From<&Result<(), Error>> for Told {
    fn from(done: &Result<(), Error>) -> Self {
        match done {
            Ok(()) => Told::Done,
            Err(Error::OutcomeUnknown { .. }) => Told::Unknown,
            Err(error) => {
                let named = error.is_retryable()
                    || error.is_timeout()
                    || matches!(error, Error::TransactionFailed { .. });
                assert!(named, "an error that nobody can act on: {error}");
                Told::Failed
            }
        }
    }
}

/// How far the writers are.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    done: AtomicU64,
    refused: AtomicU64,
}

/// Writes one note after the other, single and in transactions, until the faults are over.
async fn write(db: &Db, tenant: &AssumedTenant, writer: u32, load: &Load) -> BTreeMap<String, Told> {
    let (notes, mut told) = (db.tenant(tenant), BTreeMap::new());
    for number in 0.. {
        if load.over.load(Ordering::Relaxed) {
            break;
        }
        let body = format!("{writer}.{number}");
        let written = match number % 2 {
            0 => notes.one(&INSERT, (Id::new(), &body)).await.map(drop),
            _ => notes.tx(async |tx| -> Done { tx.one(&INSERT, (Id::new(), &body)).await.map(drop) }).await,
        };
        let count = if written.is_ok() { &load.done } else { &load.refused };
        count.fetch_add(1, Ordering::Relaxed);
        told.insert(body, Told::from(&written));
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_told_wrongly() {
    let mut server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    config.pool_size = 4;
    let second = Duration::from_secs(1);
    (config.pool_timeout, config.connect_timeout, config.statement_timeout) = (second, second, second);
    let db = Db::connect(&config).await.unwrap();
    let (tenant, load) = (tenant(), Load::default());

    let progress = async || {
        let before = load.done.load(Ordering::Relaxed);
        eventually(Duration::from_secs(30), async || load.done.load(Ordering::Relaxed) >= before + 50).await;
    };
    let given_up = async || {
        let before = load.refused.load(Ordering::Relaxed);
        eventually(Duration::from_secs(30), async || load.refused.load(Ordering::Relaxed) >= before + 8)
            .await;
    };
    let faults = async {
        for _ in 0..3 {
            progress().await;
            server.kill().await.unwrap();
            server.start().await.unwrap();
            progress().await;
            server.stop(Shutdown::Immediate).await.unwrap();
            server.start().await.unwrap();
            progress().await;
            server.pause().await.unwrap();
            given_up().await;
            server.resume().await.unwrap();
            progress().await;
            server.stop(Shutdown::Fast).await.unwrap();
            server.start().await.unwrap();
        }
        progress().await;
        load.over.store(true, Ordering::Relaxed);
    };
    let writers = join_all((0..16).map(|writer| write(&db, &tenant, writer, &load)));
    let (told, ()) = tokio::join!(writers, faults);

    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    for body in db.tenant(&tenant).all(&BODIES, ()).await.unwrap() {
        *stored.entry(body).or_default() += 1;
    }
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (body, told) in told.iter().flatten() {
        let times = stored.remove(body).unwrap_or(0);
        let outcome = match (told, times) {
            (Told::Done, 1) => "done",
            (Told::Failed, 0) => "failed",
            (Told::Unknown, 0) => "unknown, did not happen",
            (Told::Unknown, 1) => "unknown, happened",
            _ => panic!("{body} was told to be {told:?} and is there {times} times"),
        };
        *counts.entry(outcome).or_default() += 1;
    }
    assert!(stored.is_empty(), "nobody wrote these: {stored:?}");
    assert!(counts.get("done") > Some(&500), "{counts:?}");
    assert!(counts.contains_key("failed"), "no fault was felt: {counts:?}");
    println!("12 faults, 16 writers: {counts:?}");
}
