//! The whole way: published in one database, through a broker, to an effect in another one, with a kill on the way. Once, in order, and
//! with all that belongs to it.

use std::env;
use std::sync::Arc;

use shared_core::{Actor, AssumedTenant, Context, Failure, TenantId, TraceParent};
use shared_db::TenantTx;
use shared_db::redis::{Config as RedisConfig, Redis};
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_devkit::{Nats, Redis as Server};
use shared_events::intake::Source;
use shared_events::sink::{JetStream, RedisStreams, Sink};
use shared_events::{Config, Events, Intake, Received, Relay};

use crate::support::{Raised, World, connect, quick, see_as, until};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const TIMES: i64 = 5;

/// Where the victims work.
const HERE: &str = "EVENTS_TEST_HERE";
const THERE: &str = "EVENTS_TEST_THERE";
const BROKER: &str = "EVENTS_TEST_BROKER";
const STREAM: &str = "EVENTS_TEST_STREAM";

/// After the broker has taken some, and while an effect is there and not committed.
const POINTS: [&str; 2] = ["events.relay.sent", "events.relay.consumed"];

/// Writes down what it sees, and under whose name: actor, conversation and trace.
async fn remember(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
    let context = raised.context();
    let trace = context.traceparent().map_or(0, |span| span.trace_id());
    let of = format!("{} {} {trace:x}", context.actor(), context.correlation());
    see_as(&of, tx, &raised).await?;
    see_as("remember", tx, &raised).await
}

/// What brings the log of `here` to the broker, and what consumes it over there.
async fn run<B: Sink + Source + Clone>(
    here: shared_db::Db,
    there: shared_db::Db,
    broker: B,
) -> (Relay, Intake) {
    let config = Config { subscription: "to the broker".to_owned(), ..quick() };
    let relay = Relay::to(here, Arc::new(broker.clone()), config).await.unwrap();
    let events = Events::new().handle("remember", remember);
    (relay, Intake::start(there, (), events, broker, quick()).await.unwrap())
}

/// In the process that is killed.
async fn victim<B: Sink + Source + Clone>(broker: B) -> ! {
    let of = async |name: &str| connect(&env::var(name).unwrap(), 10).await;
    let _running = run(of(HERE).await, of(THERE).await, broker).await;
    std::future::pending().await
}

async fn from_here_to_there<B: Sink + Source + Clone>(
    test: &str,
    (url, stream): (&str, &str),
    broker: B,
    kill: Kill,
) -> Outcome {
    let (mut here, mut there) = (World::new().await, World::new().await);
    let parent: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let context = Context::new(TenantId::new(), Actor::new("ann"))
        .with_correlation("order-66".parse().unwrap())
        .with_traceparent(Some(parent));
    here.tenant = AssumedTenant::continuing(context.clone(), "a test");
    there.tenant = AssumedTenant::new(context.tenant(), "the same tenant");
    for _ in 0..TIMES {
        for key in KEYS {
            here.raise(key).await;
        }
    }
    let victim = Child::test_function(test).env(HERE, here.database.url()).env(THERE, there.database.url());
    let mut victim = victim.env(BROKER, url).env(STREAM, stream).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    let (relay, intake) = run(here.db.clone(), there.db.clone(), broker).await;
    let whose = format!("ann order-66 {:x}", parent.trace_id());
    let expected = Vec::from_iter(1..=TIMES);
    let mut wrong = 0;
    for key in KEYS {
        until(async || there.seen("remember", key).await.len() >= expected.len()).await;
        wrong += usize::from(there.seen("remember", key).await != expected);
        wrong += usize::from(there.seen(&whose, key).await != expected);
    }
    relay.stop().await;
    intake.stop().await;
    Outcome::new()
        .count("events", KEYS.len() * expected.len())
        .wrong("lost, doubled, unordered or anybody's", wrong)
}

pub(crate) async fn redis(url: &str) -> RedisStreams {
    RedisStreams::new(&Redis::connect(&RedisConfig::new(url)).await.unwrap())
}

pub(crate) async fn nats(url: &str, stream: &str) -> JetStream {
    JetStream::open(jetstream(url).await, stream).await.unwrap()
}

/// The client takes no login from a URL.
pub(crate) async fn jetstream(url: &str) -> async_nats::jetstream::Context {
    let (login, server) = url.trim_start_matches("nats://").split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    async_nats::jetstream::new(options.connect(server).await.unwrap())
}

#[tokio::test]
async fn through_redis_an_event_has_its_effect_in_another_database_once_and_as_its_publisher_s() {
    const TEST: &str =
        "chain::through_redis_an_event_has_its_effect_in_another_database_once_and_as_its_publisher_s";
    if child::enter().unwrap().is_some() {
        victim(redis(&env::var(BROKER).unwrap()).await).await;
    }
    let one = async |kill: Kill| {
        let database = Server::shared().await.unwrap().database().await.unwrap();
        from_here_to_there(TEST, (database.url(), ""), redis(database.url()).await, kill).await
    };
    Matrix::new(POINTS).run(one).await.unwrap();
}

#[tokio::test]
async fn through_nats_an_event_has_its_effect_in_another_database_once_and_as_its_publisher_s() {
    const TEST: &str =
        "chain::through_nats_an_event_has_its_effect_in_another_database_once_and_as_its_publisher_s";
    if child::enter().unwrap().is_some() {
        victim(nats(&env::var(BROKER).unwrap(), &env::var(STREAM).unwrap()).await).await;
    }
    let server = Nats::shared().await.unwrap();
    let one = async |kill: Kill| {
        let namespace = server.namespace().await.unwrap();
        let stream = format!("{}_events", namespace.prefix());
        let broker = nats(namespace.url(), &stream).await;
        from_here_to_there(TEST, (namespace.url(), &stream), broker, kill).await
    };
    Matrix::new(POINTS).run(one).await.unwrap();
}
