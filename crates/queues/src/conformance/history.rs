//! Random histories of three workers, dying and stale ones among them, on a real backend and on the one in memory, which is the model.
//!
//! After each step both have to tell the same of every job. What a claim takes is the real backend's choice; the model judges it, and
//! follows. In the end everything that can still be done is done: no lane may be left closed.

mod run;
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::bench::Bench;
use crate::backend::Backend;
use crate::memory::Memory;
use crate::postgres::Store;
use run::Run;
use steps::step;

/// Histories; each takes some hundredths of a second.
const CASES: u32 = 150;

/// Steps of a history at most.
const STEPS: usize = 50;

/// Queues of earlier histories lie in the same server.
static NUMBER: AtomicUsize = AtomicUsize::new(1000);

/// How a backend puts back what comes back.
#[derive(Clone, Copy, PartialEq)]
enum Places {
    /// To where it was.
    Old,
    /// To the head or to the end of its line.
    New,
}

fn agrees_with_the_model(runtime: &tokio::runtime::Runtime, backend: &Arc<dyn Backend>, places: Places) {
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let result = TestRunner::new(config).run(&prop::collection::vec(step(), 1..STEPS), |history| {
        runtime.block_on(async {
            let bench = Bench::new(backend.clone(), NUMBER.fetch_add(1, Ordering::Relaxed));
            let mut run = Run::new(bench, places == Places::Old).await;
            for step in &history {
                run.step(step).await.map_err(|why| TestCaseError::fail(format!("{step:?}: {why}")))?;
            }
            run.finish().await.map_err(|why| TestCaseError::fail(format!("in the end: {why}")))
        })
    });
    if let Err(error) = result {
        panic!("{backend:?} does not agree with the model: {error}");
    }
}

#[test]
fn memory_agrees_with_itself() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    agrees_with_the_model(&runtime, &backend, Places::Old);
}

#[test]
fn postgres_agrees_with_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (db, _database, _server) = runtime.block_on(super::postgres());
    let backend: Arc<dyn Backend> = Arc::new(Store::new(&db));
    agrees_with_the_model(&runtime, &backend, Places::Old);
}

#[cfg(feature = "redis")]
#[test]
fn redis_agrees_with_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (redis, part) = runtime.block_on(super::redis());
    let backend: Arc<dyn Backend> = Arc::new(crate::redis::RedisBackend::new(&redis, part.prefix()));
    agrees_with_the_model(&runtime, &backend, Places::New);
}
