use std::sync::Arc;

use shared_core::Failure;
use shared_db::Db;
#[cfg(feature = "redis")]
use shared_db::redis::{self, Redis};
use shared_events::cloudevents;
use shared_events::intake::Source;
#[cfg(feature = "nats")]
use shared_events::sink::JetStream;
#[cfg(feature = "redis")]
use shared_events::sink::RedisStreams;
use shared_events::{Config, Events, Intake, Relay};

#[cfg(feature = "nats")]
use super::NatsConfig;
use super::deliveries::{Deliveries, Stock};
use super::way;

/// A broker that the events of a service go through. See [`Service::events_through`](crate::Service::events_through).
#[derive(Clone, Debug)]
pub struct Broker {
    at: At,
    prefix: Option<&'static str>,
    #[cfg(feature = "redis")]
    keep: Option<u32>,
}

#[derive(Clone, Debug)]
enum At {
    #[cfg(feature = "redis")]
    Redis(redis::Config),
    #[cfg(feature = "nats")]
    Nats(NatsConfig),
}

impl Broker {
    /// The streams of this Redis or Valkey, a cluster too: one for each lane.
    #[cfg(feature = "redis")]
    pub fn redis(config: redis::Config) -> Self {
        Self::at(At::Redis(config))
    }

    /// A stream of NATS JetStream, with a subject for each lane.
    #[cfg(feature = "nats")]
    pub fn nats(config: NatsConfig) -> Self {
        Self::at(At::Nats(config))
    }

    fn at(at: At) -> Self {
        Self {
            at,
            prefix: None,
            #[cfg(feature = "redis")]
            keep: None,
        }
    }

    /// Under names that begin with this, in place of the name of the service. At most 63 letters, digits, `-` or `_`.
    ///
    /// Streams are those of one log: two databases never share a prefix, since their events would be taken for each other's.
    pub fn prefix(self, prefix: &'static str) -> Self {
        Self { prefix: Some(prefix), ..self }
    }

    /// How many events each of the sixteen streams of Redis keeps, in place of 100,000. It bounds its memory, and how far behind consumers may
    /// be: what they have not read by then they miss, which is logged as an error and counted. A stream of NATS that is to keep
    /// another number is made before.
    #[cfg(feature = "redis")]
    pub fn keep(self, events: u32) -> Self {
        Self { keep: Some(events), ..self }
    }

    /// The word for it.
    pub(super) const fn word(&self) -> &'static str {
        match self.at {
            #[cfg(feature = "redis")]
            At::Redis(_) => "redis",
            #[cfg(feature = "nats")]
            At::Nats(_) => "nats",
        }
    }

    /// Begins to bring the events of the log there, and to bring them from there to the consumers, if there are any.
    pub(super) async fn start<S: Send + Sync + 'static>(
        self,
        service: &'static str,
        db: &Db,
        consumers: Option<(S, Events<S>)>,
        config: Config,
        to: &Deliveries,
    ) -> Result<(), Failure> {
        let prefix = self.prefix.unwrap_or(service);
        let source = cloudevents::Source::new(format!("/{service}"))?;
        let there = Config { subscription: way::sink(&config, self.word()), ..config.clone() };
        match self.at {
            #[cfg(feature = "redis")]
            At::Redis(at) => {
                let streams = RedisStreams::new(&Redis::connect(&at).await?).prefix(prefix)?.source(source);
                let streams = match self.keep {
                    Some(keep) => streams.keep(keep),
                    None => streams,
                };
                to.relay(Relay::to(db.clone(), Arc::new(streams.clone()), there).await?);
                read(streams, db, consumers, config, to).await
            }
            #[cfg(feature = "nats")]
            At::Nats(at) => {
                let stream = JetStream::open(at.connect(service).await?, prefix).await?.source(source);
                to.relay(Relay::to(db.clone(), Arc::new(stream.clone()), there).await?);
                read(stream, db, consumers, config, to).await
            }
        }
    }
}

/// Begins to bring events from there to the consumers.
async fn read<S: Send + Sync + 'static>(
    from: impl Source + Clone,
    db: &Db,
    consumers: Option<(S, Events<S>)>,
    config: Config,
    to: &Deliveries,
) -> Result<(), Failure> {
    if let Some((state, events)) = consumers {
        let intake = Intake::of_own_log(db.clone(), state, events, from.clone(), config.clone()).await?;
        to.intake(intake, Stock { db: db.clone(), from: Box::new(from), config });
    }
    Ok(())
}
