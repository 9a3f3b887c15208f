//! Brokers whose file has lost its end: killed with -9, cut short as by a crash of their machine, and started again.

use std::sync::Arc;
use std::time::Duration;

use shared_db::redis::{Config as RedisConfig, Redis, cmd};
use shared_devkit::{Nats, Proxy, Redis as Server};
use shared_events::intake::Source;
use shared_events::sink::Sink;
use shared_events::{Config, Intake, Lane, Relay};

use crate::chain::{jetstream, nats, redis};
use crate::sinks::{arrived, here_and_there, publish};
use crate::support::{quick, seeing};

/// So often each key is raised at a time.
const TIMES: usize = 20;

/// What is cut off: more than what comes the second time, and less than all.
const CUT: u64 = 100_001;

/// Brings events to a broker behind a proxy, and on to their effects. `holds` is how many events the broker has, and `cut` kills it, cuts
/// its file and starts it.
async fn what_it_lost_comes_again<B: Sink + Source + Clone>(
    (broker, line): (B, Proxy),
    holds: impl AsyncFn() -> usize,
    cut: impl AsyncFnOnce(),
) {
    let (here, there) = here_and_there().await;
    // As far back as it has to come again.
    let config =
        Config { subscription: "to the broker".to_owned(), rewind: Duration::from_secs(60), ..quick() };
    let relay = Relay::to(here.db.clone(), Arc::new(broker.clone()), config).await.unwrap();
    let consume = async || {
        let intake = Intake::start(there.db.clone(), (), seeing(), broker.clone(), quick()).await;
        intake.unwrap()
    };
    // Some have their effect before they are lost, and some are known to the broker alone.
    let intake = consume().await;
    publish(&here, TIMES).await;
    arrived(&there, TIMES).await;
    intake.stop().await;
    let some = holds().await;
    publish(&here, TIMES).await;
    here.settled().await;
    assert_eq!(holds().await, 2 * some);

    // The relay goes on, and does not reach it before it is known what is there.
    line.refuse();
    line.cut();
    cut().await;
    let left = holds().await;
    assert!((1..some).contains(&left), "{left} of {}", 2 * some);
    line.heal();

    publish(&here, TIMES).await;
    let intake = consume().await;
    arrived(&there, 3 * TIMES).await;
    here.settled().await;
    assert_eq!(holds().await, 3 * some, "what was lost came again, and once");
    relay.stop().await;
    intake.stop().await;
}

#[tokio::test]
async fn a_redis_whose_file_lost_its_end_gets_that_again_and_nothing_happens_twice() {
    let mut server = Server::exclusive().await.unwrap();
    let url = server.url().to_owned();
    let line = Proxy::to(&url).await.unwrap();
    let streams = redis(&line.url(&url)).await;
    let holds = async || {
        let redis = Redis::connect(&RedisConfig::new(url.as_str())).await.unwrap();
        let mut entries = 0;
        for lane in Lane::all() {
            entries += redis.command::<usize>(cmd("XLEN").arg(streams.key(lane))).await.unwrap();
        }
        entries
    };
    let cut = async || {
        server.kill().await.unwrap();
        server.truncate(CUT).await.unwrap();
        server.start().await.unwrap();
    };
    what_it_lost_comes_again((streams.clone(), line), holds, cut).await;
}

/// It gives the numbers of the messages that it lost to others.
#[tokio::test]
async fn a_nats_whose_file_lost_its_end_gets_that_again_and_nothing_happens_twice() {
    let mut server = Nats::exclusive().await.unwrap();
    let url = server.url().to_owned();
    let line = Proxy::to(&url).await.unwrap();
    let stream = nats(&line.url(&url), "events").await;
    let holds = async || {
        let mut stream = jetstream(&url).await.get_stream("events").await.unwrap();
        stream.info().await.unwrap().state.messages as usize
    };
    let cut = async || {
        server.kill().await.unwrap();
        server.truncate("events", CUT).await.unwrap();
        server.start().await.unwrap();
    };
    what_it_lost_comes_again((stream, line), holds, cut).await;
}
