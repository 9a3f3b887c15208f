//! From nothing to a running service: the embedder, the database, the settings, the service.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use shared_devkit::{Nats, Postgres, Redis};
use shared_service::config_loader::Loader;
use shared_service::core::Failure;
use shared_service::db::redis;
use shared_service::telemetry::{Recorder, ServiceInfo, Telemetry};
use shared_service::{Broker, NatsConfig, RedisQueues, Running};

use crate::arguments::{Arguments, EventsName, QueuesName};
use crate::client::Client;
use crate::embedder::{self, Chosen};
use crate::report::progress::Screen;
use crate::service::{App, Settings, service};

/// What holds while the environment does not say otherwise. There is no load balancer to wait for. Leases are short, because
/// a run that was killed and started again should go on at once; and jobs are not blamed for the deaths of their workers,
/// because here it is the developer who kills.
const DEFAULTS: &str = "
QUICKSTART_SERVICE_SETTLE_TIME=0s
QUICKSTART_TELEMETRY_LOG_FILTER=warn
QUICKSTART_TELEMETRY_LOG_FORMAT=text
QUICKSTART_DB_POOL_SIZE=24
QUICKSTART_QUEUES_BEAT=500ms
QUICKSTART_QUEUES_LEASE=2s
QUICKSTART_QUEUES_CRASH_BUDGET=100
QUICKSTART_EVENTS_LEASE=1s
";

/// Spans that are kept, to draw the trace of the last document: some megabytes.
const SPANS: usize = 4096;

/// Everything that runs, and how long it took to start.
pub(crate) struct Launched {
    pub(crate) running: Running<App>,
    pub(crate) telemetry: Telemetry,
    pub(crate) recorder: Recorder,
    pub(crate) client: Client,
    pub(crate) embedder: String,
    pub(crate) times: Times,
    /// Keep the servers up.
    _servers: (Postgres, Option<Redis>, Option<Nats>),
}

/// How long the parts of the start took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) embedder: Duration,
    pub(crate) database: Duration,
    pub(crate) service: Duration,
}

impl Times {
    pub(crate) fn all(&self) -> Duration {
        self.embedder + self.database + self.service
    }
}

/// Starts everything, and says what it does.
///
/// # Errors
/// What kept it from starting. Dropping the future leaves nothing running but the database server, for a minute.
pub(crate) async fn launch(arguments: &Arguments, screen: &Screen) -> Result<Launched, Failure> {
    let began = Instant::now();
    let asked = arguments.embedder;
    let chosen = tokio::task::spawn_blocking(move || embedder::choose(asked)).await??;
    let Chosen { embedder, instance, remark } = chosen;
    let name = embedder.name().to_owned();
    screen.say(&match &remark {
        Some(remark) => format!("embedder {name}: {remark}"),
        None => format!("embedder {name}"),
    });
    let embedder_took = began.elapsed();

    // What is on its way through a broker is not found on another way.
    let instance = match arguments.events {
        EventsName::Log => instance.to_owned(),
        EventsName::Redis => format!("{instance}-redis"),
        EventsName::Nats => format!("{instance}-nats"),
    };
    let instance = arguments.instance.as_ref().unwrap_or(&instance);
    let server = Postgres::named(instance).await?;
    let redis = match (arguments.queues, arguments.events) {
        (QueuesName::Redis, _) | (_, EventsName::Redis) => Some(Redis::named(instance).await?),
        _ => None,
    };
    let nats = match arguments.events {
        EventsName::Nats => Some(Nats::named(instance).await?),
        _ => None,
    };
    let database_took = began.elapsed() - embedder_took;

    let settings = settings(server.url(), screen)?;
    let recorder = Recorder::new(SPANS);
    let telemetry = Telemetry::builder(ServiceInfo::new("quickstart", env!("CARGO_PKG_VERSION")))
        .log_writer(screen.clone())
        .recorder(&recorder)
        .init(&settings.telemetry)?;
    let issuer = settings.security.issuer()?;
    let at_redis = redis.as_ref().map(|redis| redis::Config::new(redis.url()));
    let queues = RedisQueues::new(at_redis.clone().filter(|_| arguments.queues == QueuesName::Redis));
    let broker = match arguments.events {
        EventsName::Log => None,
        EventsName::Redis => at_redis.map(Broker::redis),
        EventsName::Nats => nats.as_ref().map(|nats| Broker::nats(NatsConfig::new(nats.url()))),
    };
    let service = service(embedder).queues_in_redis(|_| queues).events_through(|_| broker);
    let running = service.launch(settings, &telemetry).await?;
    let client = Client::new(format!("http://{}", running.address()), issuer)?;
    let times = Times {
        embedder: embedder_took,
        database: database_took,
        service: began.elapsed() - embedder_took - database_took,
    };
    Ok(Launched {
        running,
        telemetry,
        recorder,
        client,
        embedder: name,
        times,
        _servers: (server, redis, nats),
    })
}

fn settings(url: &str, screen: &Screen) -> Result<Settings, Failure> {
    let loader = Loader::from_process("quickstart").dotenv(DEFAULTS).vars([("DATABASE_URL", url)]);
    let mut settings: Settings = loader.load()?.settings;
    for address in [&mut settings.service.listen, &mut settings.service.admin] {
        if !is_free(*address) {
            screen.say(&format!("{address} is taken: a free port is used instead"));
            address.set_port(0);
        }
    }
    Ok(settings)
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}
