//! What keeps a service from starting, and what it starts with.

use std::sync::Arc;

use shared_service::config_loader::Loader;
use shared_service::prelude::*;
use shared_service::telemetry::{ServiceInfo, Telemetry};
use shared_service::testing::TestService;

use crate::support::{Ask, Gate, MATRIX, Settings, service, start};

#[derive(Config)]
#[config(prefix = "BARE")]
struct WithoutDatabase {
    service: shared_service::Config,
}

fn telemetry() -> Telemetry {
    Telemetry::builder(ServiceInfo::new("probe", "0"))
        .log_writer(std::io::sink())
        .build(&Default::default())
        .unwrap()
}

#[tokio::test]
async fn missing_settings_are_named() {
    let settings = Loader::new("bare").load::<WithoutDatabase>().unwrap().settings;
    assert_eq!(settings.service.body_limit, 2 << 20);
    let failure = Service::<WithoutDatabase>::new("bare").launch(settings, &telemetry()).await.unwrap_err();
    assert!(failure.to_string().contains("shared_db::Config"), "{failure}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let app = start(&Gate::default(), []).await;
    let taken = app.running().address().to_string();
    let variables = [("DATABASE_URL", app.database_url()), ("PROBE_SERVICE_LISTEN", taken.as_str())];
    let settings = Loader::new("probe").vars(variables).load::<Settings>().unwrap().settings;
    let failure = service(&Gate::default()).launch(settings, &telemetry()).await.unwrap_err();
    assert!(failure.to_string().contains(&taken), "{failure}");
}

#[tokio::test]
async fn a_service_without_a_state_has_the_database_and_its_settings() {
    async fn limit(State(db): State<Db>, State(settings): State<Arc<Settings>>) -> Result<String, Problem> {
        db.ping().await?;
        Ok(settings.service.body_limit.to_string())
    }
    let service =
        Service::<Settings>::new("plain").permissions(&MATRIX).routes(Router::new().route("/", get(limit)));
    let app = TestService::start(service).await;
    assert_eq!(app.get("/", &app.tenant_with(Ask)).await.ok().text(), "2097152");
}
