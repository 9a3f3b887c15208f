//! `init` installs for the whole process, so it has a process of its own; and one test, since it can be called once.

use std::time::Duration;

use opentelemetry::global;
use shared_core::trace;
use shared_telemetry::{Config, Error, Recorder, ServiceInfo, Telemetry, init};
use tracing::info_span;

#[tokio::test]
async fn telemetry_starts_once_and_for_every_thread() {
    let service = || ServiceInfo::new("notes", "1.2.3");
    let wrong = Config { otlp_endpoint: Some("not a url".to_owned()), ..Config::default() };
    assert!(
        matches!(init(service(), &wrong), Err(Error::Export { .. })),
        "nothing is installed by a failed start"
    );

    let recorder = Recorder::new(2);
    let telemetry = Telemetry::builder(service())
        .recorder(&recorder)
        .log_writer(std::io::sink())
        .init(&Config::default())
        .unwrap();
    assert!(matches!(init(service(), &Config::default()), Err(Error::AlreadyStarted)));

    // What libraries make through the OpenTelemetry API arrives, from any thread.
    let position = std::thread::spawn(|| {
        global::meter("library").u64_counter("jobs.done").build().add(2, &[]);
        info_span!("first").in_scope(|| ());
        info_span!("second").in_scope(|| ());
        info_span!("third").in_scope(trace::current)
    });
    let position = position.join().unwrap().unwrap();
    assert!(telemetry.metrics().render().unwrap().text.contains("jobs_done_total 2"));
    assert_eq!(recorder.trace(position.trace_id())[0].name, "third");
    assert_eq!((recorder.spans().len(), recorder.dropped()), (2, 1), "the oldest goes, and is counted");

    let report = telemetry.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_complete(), "{report}");
}
