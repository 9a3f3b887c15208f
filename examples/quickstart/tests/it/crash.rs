//! Killed at any moment and started again, a run goes on: no document is lost, no chunk doubled, every effect happens once.

use std::time::{Duration, Instant};

use quickstart::tenant_id;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use shared_devkit::child::Kill;
use shared_devkit::{Nats, Postgres, Redis};
use tokio_postgres::Client;

use crate::corpus::Corpus;
use crate::invariants::{check, connect, queues};
use crate::program::{ends, program, serving, terminate};

const KILLS: usize = 20;
/// With a broker beside: a run that ends before its moment is not counted.
const FEWER_KILLS: usize = 8;
const SEED: u64 = 20_251_121;

/// A whole run on this corpus takes about a second from the moment it serves. The kills fall everywhere, and rather early:
/// into the uploads, the jobs and the deliveries more often than into the searches.
const LONGEST: Duration = Duration::from_millis(1_200);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_twenty_kills() {
    let server = Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let mut corpus = Corpus::new(SEED, 4, 12);
    let mut rng = StdRng::seed_from_u64(SEED);
    let run =
        |corpus: &Corpus| program(database.url(), corpus.path(), &["--once", "--all", "--embedder", "hash"]);
    let began = Instant::now();

    let client = connect(database.url()).await;
    let (mut kills, mut with_work_left, mut unharmed) = (0, 0, 0);
    while kills < KILLS {
        let moment = Kill::after(LONGEST.mul_f64(rng.random::<f64>().powi(2)));
        let mut victim = run(&corpus).kill(moment).start().expect("it starts");
        // Every fourth is killed while it starts, perhaps; the others while they work.
        if kills % 4 != 0 {
            serving(&mut victim).await;
        }
        if victim.killed().await.expect("its end") {
            kills += 1;
        } else {
            unharmed += 1;
            ends(victim).await;
        }
        with_work_left += i32::from(has_work_left(&client).await);
        corpus.change();
    }
    // Asked to stop in the middle of its work, it ends in order; and the last run does what is left.
    let mut stopped = run(&corpus).start().expect("it starts");
    serving(&mut stopped).await;
    terminate(stopped).await;
    ends(run(&corpus).start().expect("it starts")).await;

    let counted = check(&client, &corpus).await;
    let took = began.elapsed();
    println!(
        "{kills} kills, {with_work_left} of them with work left; {unharmed} runs ended before theirs; {took:?}: {counted}"
    );
    assert!(counted.parts <= 200);
    assert!(with_work_left > 0, "the kills came too late to show anything");

    let service = program(database.url(), corpus.path(), &["--all", "--embedder", "hash"]);
    let mut service = service.start().expect("it starts");
    let url = serving(&mut service).await;
    the_api_agrees(&url, &corpus).await;
    terminate(service).await;
    check(&client, &corpus).await;
}

/// Whether a job waits. Before the first run has migrated, there is no table to ask.
async fn has_work_left(database: &Client) -> bool {
    let asked = database.query_one("select exists (select 1 from shared_queues.body)", &[]).await;
    asked.is_ok_and(|row| row.get(0))
}

/// What the page of the developer's own machine sees.
async fn the_api_agrees(url: &str, corpus: &Corpus) {
    let json = async |path: &str, token: Option<&str>| -> Value {
        let request = reqwest::Client::new().get(format!("{url}{path}"));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        request.send().await.expect(path).error_for_status().expect(path).json().await.expect(path)
    };
    for name in ["tenant-0", "tenant-1", "tenant-2", "tenant-3"] {
        let token = json(&format!("/development/tenants/{}/token", tenant_id(name)), None).await;
        let token = token["token"].as_str().expect("a token").to_owned();
        let documents = corpus.texts.keys().filter(|(tenant, _)| tenant == name).count();
        let status = json("/status", Some(&token)).await;
        assert_eq!(status["documents"], documents, "{status}");
        assert_eq!(status["digest"]["documents"], documents, "{status}");
        assert_eq!(status["uploads"], status["digest"]["uploads"], "{status}");
        let found = json("/search?text=lease&k=50", Some(&token)).await;
        assert!(found["items"].as_array().is_some_and(|items| !items.is_empty()), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_with_jobs_in_redis() {
    let server = Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let redis = Redis::exclusive().await.expect("a Redis");
    let (client, queues) = (connect(database.url()).await, queues(redis.url()).await);
    let mut corpus = Corpus::new(SEED, 4, 12);
    let mut rng = StdRng::seed_from_u64(SEED);
    let run = |corpus: &Corpus| {
        let arguments = ["--once", "--all", "--embedder", "hash", "--queues", "redis"];
        program(database.url(), corpus.path(), &arguments).env("REDIS_URL", redis.url())
    };

    let (mut kills, mut with_work_left) = (0, 0);
    while kills < FEWER_KILLS {
        let moment = Kill::after(LONGEST.mul_f64(rng.random::<f64>().powi(2)));
        let mut victim = run(&corpus).kill(moment).start().expect("it starts");
        serving(&mut victim).await;
        if victim.killed().await.expect("its end") {
            kills += 1;
        } else {
            ends(victim).await;
        }
        let left = queues.backlog().await.expect("the backlog");
        with_work_left += i32::from(!left.is_settled());
        corpus.change();
    }
    ends(run(&corpus).start().expect("it starts")).await;

    let counted = check(&client, &corpus).await;
    let left = queues.backlog().await.expect("the backlog");
    assert!(left.is_settled() && left.dead == 0, "{left:?}");
    println!("{kills} kills, {with_work_left} of them with jobs left in Redis: {counted}");
    assert!(with_work_left > 0, "the kills came too late to show anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_with_events_through_redis() {
    let redis = Redis::exclusive().await.expect("a Redis");
    println!("{}", events_survive_kills("redis", ("REDIS_URL", redis.url())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_with_events_through_nats() {
    let nats = Nats::exclusive().await.expect("a NATS");
    println!("{}", events_survive_kills("nats", ("NATS_URL", nats.url())).await);
}

/// What was counted, to be printed.
async fn events_survive_kills(way: &str, (variable, url): (&str, &str)) -> String {
    let server = Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let client = connect(database.url()).await;
    let mut corpus = Corpus::new(SEED, 4, 12);
    let mut rng = StdRng::seed_from_u64(SEED);
    let run = |corpus: &Corpus| {
        let arguments = ["--once", "--all", "--embedder", "hash", "--events", way];
        program(database.url(), corpus.path(), &arguments).env(variable, url)
    };

    let (mut kills, mut with_effects_left) = (0, 0);
    while kills < FEWER_KILLS {
        let moment = Kill::after(LONGEST.mul_f64(rng.random::<f64>().powi(2)));
        let mut victim = run(&corpus).kill(moment).start().expect("it starts");
        serving(&mut victim).await;
        if victim.killed().await.expect("its end") {
            kills += 1;
        } else {
            ends(victim).await;
        }
        with_effects_left += i32::from(has_effects_left(&client).await);
        corpus.change();
    }
    ends(run(&corpus).start().expect("it starts")).await;

    let counted = check(&client, &corpus).await;
    assert!(with_effects_left > 0, "the kills came too late to show anything");
    format!("{kills} kills, {with_effects_left} of them with events on their way through {way}: {counted}")
}

/// Whether an event was published that has had no effect yet.
async fn has_effects_left(database: &Client) -> bool {
    let asked = database
        .query_one(
            "select (select count(*) from shared_events.log where name = 'content.uploaded')
                  > (select coalesce(sum(uploads), 0) from quickstart.digest)",
            &[],
        )
        .await;
    asked.is_ok_and(|row| row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_goes_on_after_a_kill() {
    let server = Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let mut corpus = Corpus::new(SEED, 2, 8);
    let run = program(database.url(), corpus.path(), &["--once", "--all", "--embedder", "minilm"]);

    let mut run = run.kill(Kill::after(Duration::from_millis(400))).start().expect("it starts");
    serving(&mut run).await;
    assert!(run.killed().await.expect("its end"), "a hundred searches alone take longer");
    corpus.change();
    run.restart().await.expect("it starts again");
    ends(run).await;

    println!("one kill: {}", check(&connect(database.url()).await, &corpus).await);
}
