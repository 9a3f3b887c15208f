//! Whose tokens a service believes, beside those of its settings.

use shared_service::prelude::*;
use shared_service::security::{Algorithm, Jwks, Keys, RemoteIssuer, SigningKey, Verifier};
use shared_service::testing::TestService;
use tokio::net::TcpListener;

use crate::support::{Ask, Gate, MATRIX, service};

#[derive(Config)]
#[config(prefix = "GUEST")]
struct Settings {
    service: shared_service::Config,
    db: shared_service::db::Config,
    /// With what the test signs.
    security: shared_service::security::Config,
    issuer: RemoteIssuer,
}

/// ASVS 9.1.3: the keys are those that the issuer publishes, and the settings' own count for nothing.
#[tokio::test]
async fn another_issuer_is_believed_by_the_keys_that_it_publishes() {
    let own: shared_service::security::Config = shared_service::core::schema::from_pairs([]).unwrap();
    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
    for (keys, status) in [(own.keys.clone(), 200), (vec![stranger.verifying_key().clone()], 401)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let document = Router::new().route_service("/jwks.json", Jwks::new(Keys::fixed(keys)));
        let published = tokio::spawn(async move { axum::serve(listener, document).await });

        let guest = Service::<Settings>::new("guest").permissions(&MATRIX);
        let guest = guest.routes(Router::new().route("/asked", get(async |_: May<Ask>| "yes")));
        let variables = [
            ("GUEST_ISSUER_ISSUER", own.issuer.clone()),
            ("GUEST_ISSUER_AUDIENCE", own.audience.clone()),
            ("GUEST_ISSUER_JWKS_URL", url),
        ];
        let app = TestService::start_with(guest, variables).await;
        app.get("/asked", &app.tenant_with(Ask)).await.status(status);
        app.stop().await;
        published.abort();
    }
}

#[tokio::test]
async fn a_verifier_of_the_state_takes_the_place_of_the_settings() {
    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifier = Verifier::new("development", "development", [stranger.verifying_key().clone()]).unwrap();
    let app = TestService::start(service(&Gate::default()).verifier(move |_| verifier)).await;
    app.get("/ok", &app.tenant_with(Ask)).await.status(401);
}
