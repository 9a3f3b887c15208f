//! The first attempt continues the trace that enqueued the job; later ones are linked to it.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use shared_core::panics;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{Act, Note, config, everywhere, probe};

#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Recorder {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}
    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// For every test of this binary, none of which minds: a subscriber of one thread misses what other threads met first.
pub(crate) static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
    let recorder = Recorder::default();
    let provider = SdkTracerProvider::builder().with_span_processor(recorder.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    recorder
});

/// A panic says where it was, in the trace of whoever enqueued the job.
#[tokio::test]
async fn a_panic_is_told_in_the_trace_with_its_place() {
    let recorder = &*RECORDER;
    panics::remember();
    everywhere(async |bench| {
        let job = bench.enqueue(Note { n: 1 }).instrument(tracing::info_span!("caller")).await;
        let worker = bench.worker(&probe(Act::PanicOnce), config()).await;
        bench.settle().await;
        worker.stop(Duration::from_secs(5)).await;
        let spans = recorder.0.lock().unwrap().clone();
        let is_of_job = |span: &&SpanData| {
            let id = job.to_string();
            span.attributes
                .iter()
                .any(|one| one.key.as_str() == "messaging.message.id" && one.value.as_str() == id)
        };
        let of_job: Vec<_> = spans.iter().filter(is_of_job).collect();
        let [send, panicked, _] = &of_job[..] else { panic!("{of_job:?}") };
        assert_eq!(panicked.span_context.trace_id(), send.span_context.trace_id());
        assert!(matches!(panicked.status, Status::Error { .. }), "{:?}", panicked.status);
        let told = format!("{:?}", panicked.events.events);
        assert!(told.contains("the handler panicked at") && told.contains("support.rs:"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn attempts_belong_to_the_trace_that_enqueued_them() {
    let recorder = &*RECORDER;
    everywhere(async |bench| {
        bench.enqueue(Note { n: 1 }).instrument(tracing::info_span!("request")).await;
        let worker = bench.worker(&probe(Act::FailOnce), config()).await;
        bench.settle().await;
        worker.stop(Duration::from_secs(5)).await;
        // Those of other tests among them.
        let spans = recorder.0.lock().unwrap().clone();
        one_trace_for_the_first_attempt_and_a_link_for_the_second(&spans);
    })
    .await;
}

fn one_trace_for_the_first_attempt_and_a_link_for_the_second(spans: &[SpanData]) {
    let request = spans.iter().rfind(|span| span.name == "request").unwrap().span_context.span_id();
    // What the backend does has spans of its own.
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let send = named("send test:note").find(|span| span.parent_span_id == request).unwrap();
    let of_send = send.span_context.span_id();
    let is_of_send = |span: &&SpanData| {
        span.parent_span_id == of_send || span.links.iter().any(|link| link.span_context.span_id() == of_send)
    };
    let process: Vec<&SpanData> = named("process test:note").filter(is_of_send).collect();
    assert_eq!(process.len(), 2);
    assert_eq!(process[0].parent_span_id, of_send);
    assert_eq!(process[0].span_context.trace_id(), send.span_context.trace_id());
    assert_ne!(process[1].span_context.trace_id(), send.span_context.trace_id());
    assert_eq!(process[1].links.links[0].span_context.span_id(), of_send);
}
