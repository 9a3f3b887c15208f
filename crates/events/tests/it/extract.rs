//! `State<T>` as an argument of a consumer.

use axum::extract::{FromRef, State};
use shared_core::Failure;
use shared_db::TenantTx;
use shared_events::{Events, Received, Relay};

use crate::support::{Raised, World, quick, see_as};

#[derive(Clone)]
struct App {
    factor: i64,
}

impl FromRef<App> for i64 {
    fn from_ref(app: &App) -> i64 {
        app.factor
    }
}

async fn multiply(
    tx: &mut TenantTx,
    raised: Received<Raised>,
    State(factor): State<i64>,
) -> Result<(), Failure> {
    see_as("multiply", tx, &Raised { key: raised.key.clone(), n: raised.n * factor }).await
}

#[tokio::test]
async fn a_consumer_asks_for_a_part_of_the_state() {
    let world = World::new().await;
    let events = Events::new().handle("multiply", multiply);
    let relay = Relay::start(world.db.clone(), App { factor: 7 }, events, quick()).await.unwrap();
    world.raise("a").await;
    world.settled().await;
    assert_eq!(world.seen("multiply", "a").await, [7]);
    relay.stop().await;
}
