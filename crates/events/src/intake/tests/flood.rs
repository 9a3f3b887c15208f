//! Behind a flood of one tenant in a lane of a broker, the others' events go on.

use std::sync::Arc;

use async_trait::async_trait;
use shared_core::{Context, Failure, TenantId};
use shared_db::TenantTx;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{LAST, Raised, SEE, There, quick, raised, until};
use crate::intake::{Intake, Read, Source, Taken};
use crate::{Envelope, Error, Events, FromDelivery, Lane, Place, Received};

/// A broker with one lane, which lies in memory.
struct Shelf(Vec<Envelope>);

#[async_trait]
impl Source for Shelf {
    fn name(&self) -> String {
        "shelf".to_owned()
    }

    async fn read(&self, lane: Lane, mark: Option<&str>, most: usize) -> Result<Read, Error> {
        let behind = mark.and_then(|mark| mark.parse::<Place>().ok()).unwrap_or_default();
        let events = self.0.iter().filter(|event| event.lane == lane && event.place > behind);
        let taken = events.take(most).map(|event| Taken::new(event.place.to_string(), Ok(event.clone())));
        Ok(Read::new(taken.collect(), false))
    }
}

/// Events of the flood wait until it is opened.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl FromDelivery<Gate> for Gate {
    fn from_delivery(_: &Context, state: &Gate) -> Self {
        state.clone()
    }
}

async fn pass(tx: &mut TenantTx, raised: Received<Raised>, gate: Gate) -> Result<(), Failure> {
    if raised.key == "flood" {
        // It is closed when it is opened for good.
        let _ = gate.0.acquire().await;
    }
    tx.execute(&SEE, (&raised.key, raised.n)).await?;
    Ok(())
}

#[tokio::test]
async fn an_event_behind_another_tenant_s_flood_waits_for_none_of_it() {
    let (there, gate) = (There::new().await, Gate(Arc::new(Semaphore::new(0))));
    let [flooding, quiet] = [1, 2].map(|tenant| TenantId::from_uuid(Uuid::from_u128(tenant)));
    let mut shelf: Vec<Envelope> =
        (1..=400).map(|n| raised(Lane::FIRST, flooding, "flood", n, Place::new(1, n))).collect();
    shelf.push(raised(Lane::FIRST, quiet, "quiet", 1, Place::new(2, 401)));
    let events = Events::new().handle("see", pass);
    let intake = Intake::start(there.db.clone(), gate.clone(), events, Shelf(shelf), quick()).await.unwrap();
    there.has_seen(1).await;
    assert_eq!(there.seen().await[&(quiet, "quiet".to_owned())], [1]);
    gate.0.close();
    there.has_seen(401).await;
    until(async || there.db.system().one(&LAST, ()).await.unwrap().as_deref() == Some("2-401")).await;
    intake.stop().await;
    assert_eq!(there.seen().await[&(flooding, "flood".to_owned())], Vec::from_iter(1..=400));
}
