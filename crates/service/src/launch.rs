//! From settings to a running service.

use std::sync::Arc;

use axum::Router;
use shared_core::Failure;
use shared_core::schema::Setting;
use shared_db::{Db, bootstrap};
use shared_events::{Subscriptions, Upkeep};
use shared_queues::Worker;
use shared_security::ClientAddress;
use shared_telemetry::{Checks, Health, Metrics};

use crate::eventing::{self, Deliveries};
use crate::guards::Guards;
use crate::http::Around;
use crate::running::{Parts as RunningParts, Running};
use crate::server::{Server, bind};
use crate::service::ToLimits;
use crate::settings::Parts;
use crate::start::Start;
use crate::{Config, Service, admin, http, queueing};

/// What differs between a program and a test.
pub(crate) struct Launch {
    metrics: Metrics,
    /// Free ports instead of those of the settings, and no time to settle.
    in_test: bool,
}

impl Launch {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics, in_test: false }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn in_test(metrics: Metrics) -> Self {
        Self { metrics, in_test: true }
    }
}

pub(crate) async fn launch<C, S>(
    service: Service<C, S>,
    settings: C,
    how: Launch,
) -> Result<Running<S>, Failure>
where
    C: Setting + Send + Sync,
    S: Clone + Send + Sync + 'static,
{
    let parts = Parts::of(&settings);
    let config = own_settings(&parts, &how)?;
    let db_config = parts.db.clone().ok_or_else(|| missing("shared_db::Config"))?;
    if config.migrate {
        migrate(&db_config, &service).await?;
    }
    let db = Db::connect(&db_config).await?;
    if !config.migrate {
        // Somebody else does: what is there must be what this release works with.
        shared_db::migration::check(&db, &migrations(&service)).await?;
    }
    let matrix = service.asked.matrix;
    let mut guards = Guards::start(&db, service.asked, &parts).await?;
    let opened = (service.queues)(&settings, &db).await?;
    let way = (service.way)(&settings);
    let queues = opened.queues.clone();
    let start = Start::new(Arc::new(settings), db.clone(), queues.clone(), &guards);
    let state = (service.open)(start).await?;
    // Before any job is claimed: a second instance on the same port should not get that far.
    let (listener, admin_listener) = (bind(config.listen).await?, bind(config.admin).await?);
    // What can fail does so before jobs are claimed: a worker that is dropped counts as a crash of its jobs.
    let verifier = match (matrix, service.verifier) {
        (Some(matrix), Some(verifier)) => Some((guards.revoking(verifier(&state)), matrix)),
        (Some(matrix), None) => Some((guards.verifier(&parts).await?, matrix)),
        (None, _) => None,
    };
    let (audit, address) = (guards.audit(), service.behind.map_or_else(ClientAddress::peer, |of| of(&state)));
    let limits = |of: ToLimits<S>| of(&state, &address, audit.clone());
    let desk = service.queues_desk.map_or_else(Router::new, |desk| queueing::operated(desk, &queues));
    let subscriptions = Subscriptions::new(&db);
    let events_desk =
        service.events_desk.map_or_else(Router::new, |desk| eventing::operated(desk, &subscriptions));
    let mut routes = service.routes.merge(desk).merge(events_desk).with_state(state.clone());
    for (limited, by) in service.limited_routes {
        routes = routes.merge(limits(by)?.around(limited.with_state(state.clone())));
    }
    let mut public = service.public_routes.with_state(state.clone());
    for (limited, by) in service.limited_public_routes {
        public = public.merge(limits(by)?.of_anybody()?.around(limited.with_state(state.clone())));
    }
    let around = Around {
        public,
        limits: service.limits.into_iter().map(limits).collect::<Result<_, _>>()?,
        verifier,
        audit: audit.clone(),
        address: address.clone(),
        tenants: guards.tenants.clone(),
        cors: service.cors.map(|of| of(&state)),
        headers: service.headers,
    };
    let (deliveries, carried) = (Deliveries::default(), Deliveries::default());
    let checks = opened.checked(checks(service.checks, &db), &config);
    let reads = service.events.is_some() || !way.is_straight();
    let own = parts.events.as_ref().filter(|_| reads).map(|config| way.subscription(config));
    let names = own.into_iter().chain(opened.subscription());
    let checks = eventing::checked(checks, &db, names, &deliveries, &config);
    let tasks = [deliveries.clone(), carried.clone()];
    let checks = checks.alive("events", move || tasks.iter().all(Deliveries::are_running));
    // From here on something runs; if a later step fails, dropping it ends it.
    let health = Health::start(checks, &parts.telemetry);
    if reads {
        let config = parts.events.clone().ok_or_else(|| missing("shared_events::Config"))?;
        let consumers = service.events.map(|events| (state.clone(), events));
        way.start(service.name, &db, consumers, config, &deliveries).await?;
    } else {
        // What its handlers publish is for other programs, and the log has to be kept for them.
        let config = parts.events.clone().ok_or_else(|| missing("shared_events::Config"))?;
        deliveries.upkeep(Upkeep::start(db.clone(), config)?);
    }
    opened.carry(&db, parts.events, &carried).await?;
    let worker = match service.jobs {
        Some(jobs) => {
            let config = parts.queues.ok_or_else(|| missing("shared_queues::Config"))?;
            Some(Worker::start(&queues, state.clone(), jobs, config).await?)
        }
        None => None,
    };
    let router = http::layered(routes, &config, &how.metrics, around);
    let api = Server::serve(listener, router, &config)?;
    let admin = Server::serve(admin_listener, admin::routes(health.health(), how.metrics.clone()), &config)?;
    tracing::info!(listen = %api.address(), admin = %admin.address(), "{} is up", service.name);
    Ok(Running::new(RunningParts {
        config,
        state,
        db,
        queues,
        carried,
        guards,
        health,
        deliveries,
        worker,
        api,
        admin,
    }))
}

fn own_settings(parts: &Parts, how: &Launch) -> Result<Config, Failure> {
    let mut config = parts.service.clone().ok_or_else(|| missing("shared_service::Config"))?;
    if how.in_test {
        config.listen.set_port(0);
        config.admin.set_port(0);
        config.settle_time = std::time::Duration::ZERO;
    }
    Ok(config)
}

async fn migrate<C, S>(config: &shared_db::Config, service: &Service<C, S>) -> Result<(), Failure> {
    let applied = bootstrap(config, &migrations(service)).await?;
    if !applied.steps.is_empty() {
        tracing::info!(steps = %applied, "migrated");
    }
    Ok(())
}

/// The service's own sets and those of the crates that it works with. Handlers may publish, enqueue and record without the
/// service being a relay or a worker, or sealing, so all are always there.
pub(crate) fn migrations<C, S>(service: &Service<C, S>) -> Vec<shared_db::MigrationSet> {
    let family = [
        shared_db::MIGRATIONS,
        shared_security::MIGRATIONS,
        shared_events::MIGRATIONS,
        shared_queues::MIGRATIONS,
    ];
    family.into_iter().chain(service.migrations.iter().copied()).collect()
}

fn checks(checks: Checks, db: &Db) -> Checks {
    let db = db.clone();
    checks.required("database", move || {
        let db = db.clone();
        async move { db.ping().await.map_err(|error| error.to_string()) }
    })
}

pub(crate) fn missing(part: &str) -> Failure {
    Failure::dead(format!("the settings have no field of type {part}; add one"))
}
