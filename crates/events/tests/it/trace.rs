//! The trace goes on from the one who published to the effect.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use shared_core::{Context, Failure, TraceParent, trace};
use shared_db::TenantTx;
use shared_events::{Events, FromDelivery, Received, Relay};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{Raised, World, quick, see};

/// The consumer's own place in the trace, and the one that came with the event.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<Option<(TraceParent, TraceParent)>>>);

impl FromDelivery<Places> for Places {
    fn from_delivery(_: &Context, state: &Places) -> Self {
        state.clone()
    }
}

async fn note_place(tx: &mut TenantTx, raised: Received<Raised>, places: Places) -> Result<(), Failure> {
    let came_with = raised.context().traceparent();
    *places.0.lock().unwrap() = trace::current().zip(came_with);
    see(tx, raised).await
}

#[tokio::test]
async fn a_consumer_s_span_is_a_child_of_the_publisher_s() {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    // For every test of this binary, none of which minds: a subscriber of one thread misses what other threads met first.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();

    let world = World::new().await;
    let places = Places::default();
    let events = Events::new().handle("places", note_place);
    let relay = Relay::start(world.db.clone(), places.clone(), events, quick()).await.unwrap();
    let request = tracing::info_span!("request");
    let of_request = async {
        world.raise("a").await;
        trace::current().unwrap()
    };
    let of_request = of_request.instrument(request).await;
    world.settled().await;
    let (of_consumer, came_with) = places.0.lock().unwrap().expect("the consumer ran in a span");
    assert_eq!(came_with, of_request);
    assert_eq!(of_consumer.trace_id(), of_request.trace_id());
    assert_ne!(of_consumer.span_id(), of_request.span_id());
    relay.stop().await;
}
