use shared_core::Failure;
use shared_db::Db;
use shared_events::{Config, Events, Relay, handover};

#[cfg(any(feature = "redis", feature = "nats"))]
use super::broker::Broker;
use super::deliveries::Deliveries;

/// Which way events go, by the settings.
pub(crate) type Choose<C> = Box<dyn FnOnce(&C) -> Way + Send>;

/// The way from the log to the consumers.
pub(crate) enum Way {
    /// They read it.
    Log,
    /// They read what a relay has brought from it to a broker.
    #[cfg(any(feature = "redis", feature = "nats"))]
    Through(Box<Broker>),
}

/// Straight, as for a service that says nothing of it.
pub(crate) fn from_log<C>() -> Choose<C> {
    Box::new(|_| Way::Log)
}

/// Through the broker that the settings lead to, or, if they lead to none, straight.
#[cfg(any(feature = "redis", feature = "nats"))]
pub(crate) fn through<C>(of: impl FnOnce(&C) -> Option<Broker> + Send + 'static) -> Choose<C> {
    Box::new(|settings| of(settings).map_or(Way::Log, |broker| Way::Through(Box::new(broker))))
}

/// The brokers' words: a program's events go through one of them at most.
const BROKERS: [&str; 2] = ["redis", "nats"];

/// The subscription under which the events of a program's consumers are brought to a broker.
pub(super) fn sink(config: &Config, broker: &str) -> String {
    format!("{}.{broker}", config.subscription)
}

impl Way {
    /// The subscriptions of the log that are this program's by it.
    pub(crate) fn subscription(&self, config: &Config) -> String {
        match self {
            Self::Log => config.subscription.clone(),
            #[cfg(any(feature = "redis", feature = "nats"))]
            Self::Through(broker) => sink(config, broker.word()),
        }
    }

    /// Whether anything is to be done without consumers.
    pub(crate) fn is_straight(&self) -> bool {
        matches!(self, Self::Log)
    }

    /// Begins to bring events to the consumers.
    pub(crate) async fn start<S: Send + Sync + 'static>(
        self,
        #[cfg_attr(
            not(any(feature = "redis", feature = "nats")),
            expect(unused_variables, reason = "only brokers name things after it")
        )]
        service: &'static str,
        db: &Db,
        consumers: Option<(S, Events<S>)>,
        config: Config,
        to: &Deliveries,
    ) -> Result<(), Failure> {
        let own = self.subscription(&config);
        let others: Vec<String> =
            BROKERS.map(|broker| sink(&config, broker)).into_iter().filter(|other| *other != own).collect();
        if let Some(other) = handover::sink_among(db, &others).await? {
            return Err(Failure::dead(format!(
                "events of `{}` go through the broker of `{other}`, and some may be on their way there; see handover::to_consumers",
                config.subscription
            )));
        }
        match self {
            Self::Log => {
                if let Some((state, events)) = consumers {
                    to.relay(Relay::start(db.clone(), state, events, config).await?);
                }
                Ok(())
            }
            #[cfg(any(feature = "redis", feature = "nats"))]
            Self::Through(broker) => {
                handover::to_sink(db, &config.subscription, &own).await?;
                broker.start(service, db, consumers, config, to).await
            }
        }
    }
}
