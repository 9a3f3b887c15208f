//! What is counted, through the OpenTelemetry API: without a meter provider it costs nothing and goes nowhere.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use deadpool_postgres::Status;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use crate::config::Config;

/// Made at the first use, when a program has long installed its provider.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

pub(crate) struct Metrics {
    pub(crate) retries: Counter<u64>,
    pub(crate) stale_plans: Counter<u64>,
    pub(crate) across_tenants: Counter<u64>,
    pub(crate) system: Counter<u64>,
    operations: Histogram<f64>,
}

impl Metrics {
    fn new() -> Self {
        let meter = meter();
        let counter =
            |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        Self {
            retries: counter("db.client.transaction.retries", "transactions that were run again"),
            stale_plans: counter(
                "db.client.stale_plans",
                "statements prepared anew since a table had changed",
            ),
            across_tenants: counter("db.client.across_tenants", "uses of the door across tenants"),
            system: counter("db.client.system", "uses of the system door"),
            operations: seconds(
                &meter,
                "db.client.operation.duration",
                "time from sending a statement to the end of its answer",
            ),
        }
    }

    /// A statement was answered, or not.
    pub(crate) fn operation(
        &self,
        statement: &'static str,
        namespace: &KeyValue,
        took: Duration,
        error: Option<&str>,
    ) {
        let name = KeyValue::new("db.query.summary", statement);
        let system = KeyValue::new("db.system.name", "postgresql");
        match error {
            None => self.operations.record(took.as_secs_f64(), &[system, namespace.clone(), name]),
            Some(class) => {
                let class = KeyValue::new("error.type", class.to_owned());
                self.operations.record(took.as_secs_f64(), &[system, namespace.clone(), name, class]);
            }
        }
    }

    /// Redis answered a command, perhaps one that calls a script, or did not.
    #[cfg(feature = "redis")]
    pub(crate) fn command(
        &self,
        command: &str,
        script: Option<&'static str>,
        took: Duration,
        error: Option<&str>,
    ) {
        let mut attributes = vec![
            KeyValue::new("db.system.name", "redis"),
            KeyValue::new("db.operation.name", command.to_owned()),
        ];
        attributes.extend(script.map(|name| KeyValue::new("db.stored_procedure.name", name)));
        attributes.extend(error.map(|code| KeyValue::new("error.type", code.to_owned())));
        self.operations.record(took.as_secs_f64(), &attributes);
    }
}

fn meter() -> Meter {
    opentelemetry::global::meter("shared_db")
}

fn seconds(meter: &Meter, name: &'static str, what: &'static str) -> Histogram<f64> {
    meter.f64_histogram(name).with_unit("s").with_description(what).build()
}

/// What is measured of one pool, by the names of OpenTelemetry's semantic conventions for database clients.
pub(crate) struct PoolMetrics {
    pool: [KeyValue; 1],
    wait: Histogram<f64>,
    usage: Histogram<f64>,
    timeouts: Counter<u64>,
}

impl PoolMetrics {
    /// For the pool of a role. The gauge asks for its status for as long as there is one.
    pub(crate) fn new(
        settings: &tokio_postgres::Config,
        role: &str,
        config: &Config,
        status: impl Fn() -> Option<Status> + Send + Sync + 'static,
    ) -> Self {
        let database = config.pool_name.as_deref().or(settings.get_dbname()).unwrap_or("postgres");
        let counts = move || status().map(|status| (status.available, status.size));
        Self::named(format!("{database}/{role}"), counts)
    }

    /// For a pool of this name. The gauge asks how many connections are idle, and how many there are.
    pub(crate) fn named(
        name: String,
        counts: impl Fn() -> Option<(usize, usize)> + Send + Sync + 'static,
    ) -> Self {
        let name = KeyValue::new("db.client.connection.pool.name", name);
        let meter = meter();
        let pool = [name.clone()];
        meter
            .i64_observable_up_down_counter("db.client.connection.count")
            .with_description("open connections, by state")
            .with_callback(move |observer| {
                let Some((idle, all)) = counts() else { return };
                let (idle, all) = (idle as i64, all as i64);
                let state =
                    |state: &'static str| [name.clone(), KeyValue::new("db.client.connection.state", state)];
                observer.observe(idle, &state("idle"));
                observer.observe((all - idle).max(0), &state("used"));
            })
            .build();
        Self {
            wait: seconds(&meter, "db.client.connection.wait_time", "time until a connection was free"),
            usage: seconds(&meter, "db.client.connection.use_time", "time until a connection came back"),
            timeouts: meter
                .u64_counter("db.client.connection.timeouts")
                .with_description("callers that got no connection in time")
                .build(),
            pool,
        }
    }

    /// The pool's name.
    pub(crate) fn pool(&self) -> Cow<'_, str> {
        let [name] = &self.pool;
        name.value.as_str()
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.wait.record(time.as_secs_f64(), &self.pool);
    }

    pub(crate) fn used(&self, time: Duration) {
        self.usage.record(time.as_secs_f64(), &self.pool);
    }

    pub(crate) fn timed_out(&self) {
        self.timeouts.add(1, &self.pool);
    }
}
