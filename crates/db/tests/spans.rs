//! The spans and their attributes, by OpenTelemetry's semantic conventions. A binary of its own: every thread of it has one
//! subscriber.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::trace::{SpanKind, Status, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use shared_core::{AssumedTenant, TenantId};
use shared_db::{Config, Db, Error, Many, MigrationSet, Step, bootstrap, statements};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

const NOTES: MigrationSet = MigrationSet::new(
    "notes",
    &[Step::sql(
        1,
        "word",
        "create table notes.word (word text); grant insert, select on notes.word to {app}",
    )],
);

statements! {
    const ECHO: Statement<(String,), String> = "select $1::text";
    const AS_NUMBER: Statement<(String,), i32> = "select $1::text::int";
    const ADD: Statement<Many<(String,)>, ()> = "insert into notes.word (word) select * from unnest($1::text[])";
    const WORDS: CopyIn<(String,)> = "notes.word (word)";
    const ALL: CopyOut<(String,)> = "select word from notes.word";
}

#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Recorder {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}
    fn on_end(&self, span: SpanData) {
        self.0.lock().expect("no test has failed").push(span);
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Recorder {
    /// What has ended within the work, as lines: depth below it by indentation, name, kind, attributes, status.
    async fn during(&self, work: impl Future<Output = ()>) -> Vec<String> {
        let request = tracing::info_span!("request");
        work.instrument(request.clone()).await;
        drop(request);
        let spans = std::mem::take(&mut *self.0.lock().expect("no test has failed"));
        let root = spans.iter().find(|span| span.name == "request").expect("the request's own span");
        let mut lines = Vec::new();
        below(&spans, root, "", &mut lines);
        lines
    }
}

fn below(spans: &[SpanData], parent: &SpanData, indent: &str, lines: &mut Vec<String>) {
    let mut children: Vec<_> =
        spans.iter().filter(|span| span.parent_span_id == parent.span_context.span_id()).collect();
    children.sort_by_key(|span| span.start_time);
    for span in children {
        lines.push(format!("{indent}{}", line(span)));
        below(spans, span, &format!("{indent}  "), lines);
    }
}

fn line(span: &SpanData) -> String {
    let conventional = |key: &str| ["db.", "error."].iter().any(|prefix| key.starts_with(prefix));
    let attributes: BTreeMap<_, _> =
        span.attributes.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
    let mut line = span.name.to_string();
    if span.span_kind != SpanKind::Client {
        line.push_str(&format!(" ({:?})", span.span_kind));
    }
    for (key, value) in attributes.iter().filter(|(key, _)| conventional(key)) {
        line.push_str(&format!(" {key}={value}"));
    }
    if matches!(span.status, Status::Error { .. }) {
        line.push_str(" ERROR");
    }
    line
}

#[tokio::test]
async fn statements_transactions_checkouts_and_migrations_have_the_conventional_names() {
    let recorder = Recorder::default();
    let provider = SdkTracerProvider::builder().with_span_processor(recorder.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let ours = tracing_subscriber::EnvFilter::new("shared_db=debug,spans=info");
    let subscriber = tracing_subscriber::registry().with(ours).with(layer);
    tracing::subscriber::set_global_default(subscriber).expect("the first subscriber");

    let server = shared_devkit::Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let mut config = Config::new(database.url());
    let name = database.url().rsplit_once('/').expect("a database").1.to_owned();
    let pg = format!("db.namespace={name}|public");
    let checkout =
        "db.checkout (Internal) db.client.connection.pool.name=orders/shared_app db.system.name=postgresql";

    let spans =
        recorder.during(async { drop(bootstrap(&config, &[NOTES]).await.expect("the tables")) }).await;
    let step = |name: &str, step: &str| {
        format!("{step} db.namespace={name} db.query.summary={step} db.system.name=postgresql")
    };
    let steps = ["shared_db 0001_tenant_table", "shared_db 0002_collection", "notes 0001_word"];
    assert_eq!(spans, steps.map(|one| step(&name, one)));

    config.pool_name = Some("orders".to_owned());
    config.pool_size = 1;
    config.pool_timeout = Duration::from_millis(50);
    let db = Db::connect(&config).await.expect("a pool");
    let tenant = AssumedTenant::new(TenantId::new(), "a test has no token");

    // A statement.
    let one = |name: &str| format!("{name} {pg} db.query.summary={name} db.system.name=postgresql");
    let within = |line: &str| format!("  {line}");
    let spans = recorder.during(async {
        db.tenant(&tenant).one(&ECHO, ("hunter2",)).await.expect("an answer");
        db.untenanted().one(&ECHO, ("hunter2",)).await.expect("an answer");
        db.system().one(&ECHO, ("hunter2",)).await.expect("an answer");
    });
    let of_system = checkout.replace("shared_app", "shared_system");
    assert_eq!(spans.await, [one("ECHO"), within(checkout), one("ECHO"), within(checkout), of_system]);

    // One that fails.
    let spans = recorder.during(async {
        db.tenant(&tenant).one(&AS_NUMBER, ("hunter2",)).await.expect_err("no number");
    });
    let failed = format!(
        "AS_NUMBER {pg} db.query.summary=AS_NUMBER db.response.status_code=22P02 db.system.name=postgresql error.type=22P02 ERROR"
    );
    assert_eq!(spans.await, [failed, within(checkout)]);

    // A transaction, whose statements are below it.
    let transaction = format!("db.transaction {pg} db.system.name=postgresql");
    let spans = recorder.during(async {
        let work = async |tx: &mut shared_db::TenantTx| -> Result<(), Error> {
            tx.one(&ECHO, ("hunter2",)).await?;
            let mut rows = tx.stream(&ECHO, ("hunter2",)).await?;
            while rows.next().await?.is_some() {}
            Ok(())
        };
        db.tenant(&tenant).tx(work).await.expect("a commit");
    });
    let both = [within(checkout), within(&one("ECHO")), within(&one("ECHO"))];
    assert_eq!(spans.await, [std::slice::from_ref(&transaction), &both].concat());

    // Many rows, in and out.
    let spans = recorder.during(async {
        let work = async |tx: &mut shared_db::Tx| -> Result<(), Error> {
            tx.execute_many(&ADD, [("one",), ("two",)]).await?;
            let mut copy = tx.copy_in(&WORDS).await?;
            copy.write(("three",)).await?;
            copy.finish().await?;
            let mut rows = tx.copy_out(&ALL).await?;
            while rows.next().await?.is_some() {}
            Ok(())
        };
        db.untenanted().tx(work).await.expect("a commit");
    });
    let all = [within(checkout), within(&one("ADD")), within(&one("WORDS")), within(&one("ALL"))];
    assert_eq!(spans.await, [std::slice::from_ref(&transaction), &all].concat());

    // No connection in time.
    let held = db.untenanted().begin().await.expect("the only connection");
    let spans = recorder.during(async {
        db.tenant(&tenant).one(&ECHO, ("hunter2",)).await.expect_err("there is no other");
    });
    let late = |line: &str| format!("{line} error.type=timeout ERROR");
    assert_eq!(spans.await, [late(&one("ECHO")), within(&late(checkout))]);
    drop(held);
}
