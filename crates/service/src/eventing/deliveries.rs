use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use shared_db::Db;
use shared_events::intake::{Source, Unread, unread};
use shared_events::{Config, Error, Intake, Relay, Upkeep};

/// What brings events while the service runs: relays, and an intake if they come through a broker. Clones share it, for those who ask
/// whether it lives.
#[derive(Clone, Default)]
pub(crate) struct Deliveries(Arc<Mutex<Tasks>>);

#[derive(Default)]
struct Tasks {
    relays: Vec<Relay>,
    /// Of a log that this service does not read.
    upkeep: Option<Upkeep>,
    intake: Option<(Intake, Arc<Stock>)>,
}

/// What an intake reads.
pub(crate) struct Stock {
    pub(crate) db: Db,
    pub(crate) from: Box<dyn Source>,
    pub(crate) config: Config,
}

impl Deliveries {
    pub(crate) fn relay(&self, relay: Relay) {
        self.tasks().relays.push(relay);
    }

    pub(crate) fn upkeep(&self, upkeep: Upkeep) {
        self.tasks().upkeep = Some(upkeep);
    }

    #[cfg(any(feature = "redis", feature = "nats"))]
    pub(crate) fn intake(&self, intake: Intake, of: Stock) {
        self.tasks().intake = Some((intake, Arc::new(of)));
    }

    /// Whether none of them has ended by itself.
    pub(crate) fn are_running(&self) -> bool {
        let tasks = self.tasks();
        tasks.relays.iter().all(Relay::is_running)
            && tasks.upkeep.iter().all(Upkeep::is_running)
            && tasks.intake.iter().all(|(intake, _)| intake.is_running())
    }

    /// What the broker has, and the consumers have yet to get.
    pub(crate) async fn unread(&self) -> Result<Unread, Error> {
        let stock = self.tasks().intake.as_ref().map(|(_, stock)| Arc::clone(stock));
        match stock {
            Some(stock) => unread(&stock.db, &*stock.from, &stock.config).await,
            None => Ok(Unread::default()),
        }
    }

    /// Whether deliveries were broken off: dropped half-way, they end at once, and come again after the next start.
    pub(crate) async fn stop(self, patience: Duration) -> bool {
        let Tasks { relays, upkeep, intake } = std::mem::take(&mut *self.tasks());
        let stopped = async {
            let relays = join_all(relays.into_iter().map(Relay::stop));
            let intake = async {
                if let Some((intake, _)) = intake {
                    intake.stop().await;
                }
            };
            let upkeep = async {
                if let Some(upkeep) = upkeep {
                    upkeep.stop().await;
                }
            };
            tokio::join!(relays, upkeep, intake)
        };
        tokio::time::timeout(patience, stopped).await.is_err()
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
