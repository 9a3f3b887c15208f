use std::io::{self, Write};
use std::time::Duration;

use shared_telemetry::{Config, LogFormat, ServiceInfo, Telemetry};
use tracing::{Instrument, debug, error, info, info_span};

use crate::support::{Lines, Watched};

/// The golden line: the names and their order are a contract with whoever reads the logs.
#[test]
fn a_line_has_its_ids_at_top_level() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let request = info_span!("request", tenant_id = "t-1", correlation_id = %"c-1", secret = "not in lines");
    request.in_scope(|| {
        info!(count = 3_u64, ratio = 0.5, ok = true, delta = -1, who = ?"a \"b\"", level = "mine", "a\nmessage");
    });
    drop(request);
    let span = &watched.recorder.spans()[0];
    let (line, at) =
        (watched.lines.text(), watched.lines.json()[0]["timestamp"].as_str().unwrap().to_owned());
    let expected = format!(
        concat!(
            r#"{{"timestamp":"{}","level":"INFO","message":"a\nmessage","target":"it::logs","service":"notes","#,
            r#""trace_id":"{:032x}","span_id":"{:016x}","tenant_id":"t-1","correlation_id":"c-1","#,
            r#""count":3,"ratio":0.5,"ok":true,"delta":-1,"who":"\"a \\\"b\\\"\"","fields.level":"mine"}}"#,
            "\n"
        ),
        at, span.trace_id, span.span_id
    );
    assert_eq!(line, expected);
    assert_eq!((at.len(), &at[10..11], &at[19..20], &at[26..]), (27, "T", ".", "Z"));
}

#[tokio::test]
async fn ids_come_from_the_innermost_span_that_has_them() {
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let request = info_span!("request", correlation_id = "outer", tenant_id = tracing::field::Empty);
    async {
        info!("tenant unknown");
        tracing::Span::current().record("tenant_id", "t-1");
        async {
            tokio::task::yield_now().await;
            info!("inside");
        }
        .instrument(info_span!("job", correlation_id = "inner"))
        .await;
        info!(tenant_id = "of the event", "overridden");
    }
    .instrument(request.clone())
    .await;
    info!("outside");
    info!(parent: &request, "by name");
    drop(request);

    let lines = watched.lines.json();
    assert_eq!(lines[0].get("tenant_id"), None);
    assert_eq!((&lines[1]["tenant_id"], &lines[1]["correlation_id"]), (&"t-1".into(), &"inner".into()));
    assert_eq!(lines[2]["tenant_id"], "of the event");
    assert_eq!((lines[3].get("trace_id"), lines[3].get("correlation_id")), (None, None));
    assert_eq!((&lines[4]["span_id"], &lines[4]["correlation_id"]), (&lines[0]["span_id"], &"outer".into()));
    assert_eq!(lines[0]["trace_id"], lines[1]["trace_id"]);
    assert_ne!(lines[0]["span_id"], lines[1]["span_id"]);
}

#[test]
fn a_filter_for_lines_takes_no_ids_away() {
    let config = Config { log_filter: "error,it::logs=warn".parse().unwrap(), ..Config::default() };
    let watched = Watched::new(&config);
    let _entered = watched.enter();
    info_span!("request", tenant_id = "t-1").in_scope(|| {
        info!("not written");
        debug!("nor this");
        error!("written");
    });
    let lines = watched.lines.json();
    assert_eq!((lines.len(), &lines[0]["tenant_id"]), (1, &"t-1".into()));
    assert!(lines[0]["trace_id"].is_string());
}

#[test]
fn an_error_is_written_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("no connection")]
    struct Outer(#[source] io::Error);
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    let failure = Outer(io::Error::other("refused"));
    error!(error = &failure as &(dyn std::error::Error + 'static), "can't start");
    assert_eq!(watched.lines.json()[0]["error"], "no connection: refused");
}

#[test]
fn a_line_of_text_is_one_line() {
    let watched = Watched::new(&Config { log_format: LogFormat::Text, ..Config::default() });
    let _entered = watched.enter();
    info_span!("request", tenant_id = "t-1")
        .in_scope(|| info!(path = "/a\nINFO forged \u{1b}[31m", "two\nlines"));
    let text = watched.lines.text();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(r"  INFO it::logs: two\nlines path="), "{text}");
    assert!(text.contains(" tenant_id=t-1 trace_id="), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_debug_that_logs_or_fails_harms_no_line() {
    struct Logs;
    impl std::fmt::Debug for Logs {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            info!("while another line is being written");
            f.write_str("logged")
        }
    }
    struct Fails;
    impl std::fmt::Debug for Fails {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("half \"")?;
            Err(std::fmt::Error)
        }
    }
    let watched = Watched::new(&Config::default());
    let _entered = watched.enter();
    info!(logs = ?Logs, fails = ?Fails, nan = f64::NAN, after = 1, "still a line");
    let lines = watched.lines.json();
    let line = lines.last().unwrap();
    assert_eq!((&line["logs"], &line["after"]), (&"logged".into(), &1.into()));
    assert!(line["fails"].is_null() && line["nan"].is_null());
}

#[tokio::test]
async fn a_line_that_cannot_be_written_is_counted() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("disk full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let telemetry = Telemetry::builder(ServiceInfo::new("notes", "1"))
        .log_writer(Full)
        .build(&Config::default())
        .unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || (0..3).for_each(|_| info!("lost")));
    let text = telemetry.metrics().render().unwrap().text;
    assert!(text.contains("shared_log_lines_total{error_type=\"write_failed\"} 3"), "{text}");
    let report = telemetry.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.log_lines_lost, report.is_complete()), (3, false));
}

#[test]
fn lines_of_many_threads_do_not_mix() {
    let lines = Lines::default();
    let telemetry = Telemetry::builder(ServiceInfo::new("notes", "1"))
        .log_writer(lines.clone())
        .build(&Config::default())
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let dispatch = telemetry.dispatch();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    (0..100).for_each(|line| info!(thread, line, "{}", "x".repeat(500)));
                });
            });
        }
    });
    assert_eq!(lines.json().len(), 800);
}
