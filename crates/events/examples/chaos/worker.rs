//! What a relay or a consumer runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared_core::{Context, Failure};
use shared_db::redis::Redis;
use shared_db::{Db, TenantTx};
use shared_events::sink::{JetStream, RedisStreams};
use shared_events::{Config, Error, Events, FromDelivery, Intake, Received, Relay};

use super::ledger::{IS_HEALED, Raised, TAKE_EFFECT, now};
use super::plan::{Plan, is_hopeless, scattered};
use super::process::{Role, Spec};

/// What consumers ask for.
#[derive(Clone)]
pub(crate) struct Desk {
    db: Db,
    outside: bool,
}

impl FromDelivery<Desk> for Desk {
    fn from_delivery(_: &Context, state: &Desk) -> Self {
        state.clone()
    }
}

/// What runs here, for as long as it is not dropped.
enum Running {
    Relay { _relay: Relay },
    Intake { _intake: Intake },
}

/// Works until the process is killed.
pub(crate) async fn run(db: Db, spec: Spec) -> Infallible {
    let _running = loop {
        match start(&db, &spec).await {
            Ok(running) => break running,
            Err(error) => tracing::warn!("a server is away: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await; // a condition is polled
    };
    std::future::pending().await
}

async fn start(db: &Db, spec: &Spec) -> Result<Running, Error> {
    let (db, config) = (db.clone(), config(spec));
    let desk = Desk { db: db.clone(), outside: spec.outside };
    let relay = |relay| Running::Relay { _relay: relay };
    let intake = |intake| Running::Intake { _intake: intake };
    match (spec.role, &spec.redis, &spec.nats) {
        (Role::Relay, Some(url), _) => Ok(relay(Relay::to(db, Arc::new(streams(url).await?), config).await?)),
        (Role::Relay, _, Some(url)) => {
            Ok(relay(Relay::to(db, Arc::new(jetstream(url).await?), config).await?))
        }
        (Role::Consumer, Some(url), _) => {
            Ok(intake(Intake::start(db, desk, consumers(), streams(url).await?, config).await?))
        }
        (Role::Consumer, _, Some(url)) => {
            Ok(intake(Intake::start(db, desk, consumers(), jetstream(url).await?, config).await?))
        }
        _ => Ok(relay(Relay::start(db, desk, consumers(), config).await?)),
    }
}

async fn streams(url: &str) -> Result<RedisStreams, Error> {
    let redis = Redis::connect(&shared_db::redis::Config::new(url)).await?;
    Ok(RedisStreams::new(&redis))
}

async fn jetstream(url: &str) -> Result<JetStream, Error> {
    // The client takes no login from a URL.
    let (login, server) = url.trim_start_matches("nats://").split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    let client = options.connect(server).await.map_err(|error| Error::Broker(error.to_string()))?;
    JetStream::open(async_nats::jetstream::new(client), "events").await
}

fn config(spec: &Spec) -> Config {
    Config {
        lease: spec.lease,
        poll: spec.poll,
        // Effects fail by chance, servers are away: none of that is to be a dead letter.
        attempts: 100,
        retry_first: Duration::from_millis(20),
        retry_longest: Duration::from_millis(500),
        ..Config::default()
    }
}

fn consumers() -> Events<Desk> {
    let [one, other] = Plan::CONSUMERS;
    Events::new().handle(one, first).handle(other, second)
}

async fn first(tx: &mut TenantTx, raised: Received<Raised>, desk: Desk) -> Result<(), Failure> {
    take_effect(Plan::CONSUMERS[0], tx, &raised, &desk).await
}

/// The same, but it fails now and then, and has events that it refuses.
async fn second(tx: &mut TenantTx, raised: Received<Raised>, desk: Desk) -> Result<(), Failure> {
    if is_hopeless(&raised.key, raised.n) && !tx.one(&IS_HEALED, ()).await? {
        return Err(Failure::dead("hopeless, as planned"));
    }
    take_effect(Plan::CONSUMERS[1], tx, &raised, &desk).await?;
    match scattered(now() as u64) % 100 {
        0 => Err(Failure::new("not yet, as planned")),
        _ => Ok(()),
    }
}

async fn take_effect(
    consumer: &str,
    tx: &mut TenantTx,
    raised: &Received<Raised>,
    desk: &Desk,
) -> Result<(), Failure> {
    let effect = (consumer, &raised.key, raised.n);
    match desk.outside {
        true => desk.db.tenant(raised).execute(&TAKE_EFFECT, effect).await?,
        false => tx.execute(&TAKE_EFFECT, effect).await?,
    };
    Ok(())
}
