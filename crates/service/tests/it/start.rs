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

#[tokio::test]
async fn where_another_program_migrates_a_database_that_is_behind_is_refused() {
    use shared_service::db::{MigrationSet, Step};
    const NEWER: MigrationSet = MigrationSet::new(
        "newer",
        &[Step::sql(1, "thing", "create table newer.thing (id uuid primary key)")],
    );

    let app = start(&Gate::default(), []).await;
    let variables = [("DATABASE_URL", app.database_url()), ("PROBE_SERVICE_MIGRATE", "false")];
    let launched = async |service: Service<Settings, Gate>, listen: [(&str, &str); 2]| {
        let all = variables.into_iter().chain(listen);
        let settings = Loader::new("probe").vars(all).load::<Settings>().unwrap().settings;
        service.launch(settings, &telemetry()).await
    };
    let free = [("PROBE_SERVICE_LISTEN", "127.0.0.1:0"), ("PROBE_SERVICE_ADMIN", "127.0.0.1:0")];
    let failure = launched(service(&Gate::default()).migrations(NEWER), free).await.unwrap_err();
    assert!(failure.to_string().contains("newer"), "{failure}");
    launched(service(&Gate::default()), free).await.unwrap().stop().await;
}

/// A test that sets what nobody reads would prove nothing.
#[tokio::test]
#[should_panic(expected = "PROBE_KEYS_ALGORITHM")]
async fn a_variable_that_no_setting_has_starts_no_test() {
    start(&Gate::default(), [("PROBE_KEYS_ALGORITHM", "EdDSA")]).await;
}
