//! The trace goes on from the one who published, through relays and sinks, to the effect.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use opentelemetry::trace::{SpanId, SpanKind, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use shared_core::{AssumedTenant, Context, Failure, InTenant as _, TraceParent, trace};
use shared_db::TenantTx;
use shared_events::sink::PostgresLog;
use shared_events::{Config, Error, Events, FromDelivery, Publish as _, Received, Relay};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::support::{Raised, World, quick, raise, raised, see, until};

/// The spans of this crate that have ended, of all tests of this binary.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Ended {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let ours = batch.into_iter().filter(|span| of(span).contains_key("messaging.system"));
        self.0.lock().unwrap().extend(ours);
        Ok(())
    }
}

/// For every test of this binary, none of which minds: a subscriber of one thread misses what other threads met first.
static ENDED: LazyLock<Ended> = LazyLock::new(|| {
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(ended.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    ended
});

/// The attributes of a span.
fn of(span: &SpanData) -> HashMap<String, String> {
    let attributes = span.attributes.iter();
    attributes.map(|one| (one.key.to_string(), one.value.as_str().into_owned())).collect()
}

impl Ended {
    /// Those in which this attribute is so, the first first.
    fn with(&self, key: &str, value: &str) -> Vec<SpanData> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| of(span).get(key).is_some_and(|found| found == value)).cloned().collect()
    }
}

/// The consumer's own place in the trace, and the one that came with the event.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<Vec<(TraceParent, TraceParent)>>>);

impl FromDelivery<Places> for Places {
    fn from_delivery(_: &Context, state: &Places) -> Self {
        state.clone()
    }
}

/// Fails at the first attempt at the key `bad`.
async fn note_place(tx: &mut TenantTx, raised: Received<Raised>, places: Places) -> Result<(), Failure> {
    let here = trace::current().zip(raised.context().traceparent()).unwrap();
    places.0.lock().unwrap().push(here);
    if raised.key == "bad" && places.0.lock().unwrap().len() == 1 {
        return Err(Failure::new("once"));
    }
    see(tx, raised).await
}

async fn noting(world: &World) -> (Places, Relay) {
    let places = Places::default();
    let events = Events::new().handle("places", note_place);
    let config = Config { lease: Duration::from_secs(10), ..quick() };
    let relay = Relay::start(world.db.clone(), places.clone(), events, config).await.unwrap();
    (places, relay)
}

/// Raises the key in a span of its own, whose position it returns.
async fn requested(world: &World, key: &str) -> TraceParent {
    let of_request = async {
        world.raise(key).await;
        trace::current().unwrap()
    };
    of_request.instrument(tracing::info_span!("request")).await
}

fn id(position: TraceParent) -> SpanId {
    SpanId::from_bytes(position.span_id().to_be_bytes())
}

#[tokio::test]
async fn a_consumer_s_span_is_a_child_of_the_publisher_s() {
    let ended = &*ENDED;
    let world = World::new().await;
    let (places, relay) = noting(&world).await;
    let request = requested(&world, "a").await;
    world.settled().await;
    relay.stop().await;
    let (of_consumer, came_with) = places.0.lock().unwrap()[0];
    assert_eq!((came_with.trace_id(), of_consumer.trace_id()), (request.trace_id(), request.trace_id()));

    let spans = ended.with("tenant_id", &world.tenant.context().tenant().to_string());
    let [publish, process] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*publish.name, &publish.span_kind), ("publish counter.raised", &SpanKind::Producer));
    assert_eq!((publish.parent_span_id, publish.span_context.span_id()), (id(request), id(came_with)));
    assert_eq!((&*process.name, &process.span_kind), ("process counter.raised", &SpanKind::Consumer));
    assert_eq!((process.parent_span_id, process.span_context.span_id()), (id(came_with), id(of_consumer)));
    let (published, processed) = (of(publish), of(process));
    for (key, value) in [
        ("messaging.system", "shared_events"),
        ("messaging.destination.name", "counter.raised"),
        ("correlation_id", &world.tenant.context().correlation().to_string()),
        ("messaging.message.id", &published["event.id"]),
    ] {
        assert_eq!((published[key].as_str(), processed[key].as_str()), (value, value), "{key}");
    }
    assert_eq!(published["messaging.operation.type"], "create");
    assert_eq!(processed["messaging.operation.type"], "process");
    assert_eq!(processed["messaging.consumer.group.name"], "places");
}

#[tokio::test]
async fn a_later_attempt_points_to_the_publisher_s_span() {
    let ended = &*ENDED;
    let world = World::new().await;
    let (places, relay) = noting(&world).await;
    let request = requested(&world, "bad").await;
    until(async || world.seen("see", "bad").await == [1]).await;
    relay.stop().await;
    let attempts = places.0.lock().unwrap().clone();
    assert_eq!(attempts[0].0.trace_id(), request.trace_id());
    assert_ne!(attempts[1].0.trace_id(), request.trace_id());
    let spans = ended.with("tenant_id", &world.tenant.context().tenant().to_string());
    let again = spans.iter().find(|span| of(span).get("attempt").is_some_and(|n| n == "2")).unwrap();
    assert_eq!(again.links.len(), 1);
    assert_eq!(again.links[0].span_context.span_id(), id(attempts[1].1));
}

#[tokio::test]
async fn what_a_relay_sends_points_to_the_publishers_spans_and_the_trace_goes_on_behind_it() {
    let ended = &*ENDED;
    let (here, mut there) = (World::new().await, World::new().await);
    there.tenant = AssumedTenant::new(here.tenant.context().tenant(), "the same tenant");
    let log = PostgresLog::new(&there.db, "here").unwrap();
    let config = Config { subscription: "to there".to_owned(), page: 5000, ..quick() };
    // More events of a lane than one span points to.
    let publish = async |tx: &mut TenantTx| -> Result<(), Error> {
        for n in 1..=99 {
            tx.publish(raised("a", n)).await?;
        }
        raise(tx, "b").await.map(drop)
    };
    here.db.tenant(&here.tenant).tx(publish).await.unwrap();
    let bringing = Relay::to(here.db.clone(), Arc::new(log), config).await.unwrap();
    let (places, delivering) = noting(&there).await;
    until(async || places.0.lock().unwrap().len() == 100).await;
    bringing.stop().await;
    delivering.stop().await;

    let tenant = here.tenant.context().tenant().to_string();
    let spans = ended.with("tenant_id", &tenant);
    let published: Vec<SpanId> = spans
        .iter()
        .filter(|span| span.span_kind == SpanKind::Producer)
        .map(|span| span.span_context.span_id())
        .collect();
    assert_eq!(published.len(), 100);
    let points = |span: &SpanData| {
        let mut links = span.links.iter().map(|link| link.span_context.span_id());
        links.all(|link| published.contains(&link))
    };
    let sent = ended.with("messaging.operation.type", "send");
    let sent: Vec<&SpanData> = sent.iter().filter(|span| !span.links.is_empty() && points(span)).collect();
    let count = |span: &SpanData| of(span)["messaging.batch.message_count"].parse::<usize>().unwrap();
    assert_eq!(sent.iter().map(|span| count(span)).sum::<usize>(), 100);
    for span in sent {
        assert_eq!((&span.span_kind, of(span).get("error.type")), (&SpanKind::Client, None));
        assert_eq!(span.links.len(), count(span).min(64));
    }
    // The consumers are over there, and their spans belong to the traces of here.
    let processed = spans.iter().filter(|span| span.span_kind == SpanKind::Consumer);
    assert!(processed.clone().all(|span| published.contains(&span.parent_span_id)));
    assert_eq!(processed.count(), 100);
}
