//! How long a revocation takes to the other instances, over each store.
#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::time::{Duration, Instant};

use shared_core::{AssumedTenant, InTenant, TenantId};
use shared_db::{Db, bootstrap, redis::Redis};
use shared_devkit::Postgres;
use shared_security::{
    Algorithm, Grant, Issuer, MIGRATIONS, Revocation, RevocationConfig, RevocationWorker, Revocations,
    SigningKey, Verified, Verifier, WhenStale,
};

const REVOCATIONS: usize = 20;

pub(crate) async fn measure() {
    let server = Postgres::exclusive().await.unwrap();
    let database = server.empty_database().await.unwrap();
    let config = shared_db::Config::new(database.url());
    bootstrap(&config, &[MIGRATIONS]).await.unwrap();
    let instance =
        async || Revocations::over_postgres(Db::connect(&config).await.unwrap(), bounds()).await.unwrap();
    delays("Postgres, told by NOTIFY", (instance().await, instance().await)).await;

    let server = shared_devkit::Redis::exclusive().await.unwrap();
    let instance = async || {
        let redis = Redis::connect(&shared_db::redis::Config::new(server.url())).await.unwrap();
        Revocations::over_redis(redis, bounds()).await.unwrap()
    };
    delays("Redis, found by polling", (instance().await, instance().await)).await;
}

fn bounds() -> RevocationConfig {
    RevocationConfig::new(WhenStale::Refuse)
}

/// From the call here, with its round trip, to the refusal there.
async fn delays(
    store: &str,
    ((here, _one), (there, _two)): ((Revocations, RevocationWorker), (Revocations, RevocationWorker)),
) {
    let tenant = AssumedTenant::new(TenantId::new(), "a benchmark");
    let mut delays = Vec::with_capacity(REVOCATIONS);
    for number in 0..REVOCATIONS {
        let token = token(&tenant);
        // Not in step with the polls.
        tokio::time::sleep(Duration::from_millis(37 * number as u64 % 500)).await;
        let start = Instant::now();
        here.revoke(&tenant, Revocation::Token(token.token_id().to_owned())).await.unwrap();
        while !there.refuses(&token) {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        delays.push(start.elapsed());
    }
    delays.sort_unstable();
    let (median, max) = (delays[REVOCATIONS / 2], delays[REVOCATIONS - 1]);
    println!(
        "a revocation reaches another instance, {store}: median {median:.1?}, max of {REVOCATIONS} {max:.1?}, goal ≤ 1 s"
    );
}

fn token(tenant: &AssumedTenant) -> Verified {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifier = Verifier::new("issuer", "audience", [key.verifying_key().clone()]).unwrap();
    let token =
        Issuer::new(key, "issuer", "audience").issue(&Grant::new(tenant.context().tenant(), "user:7"));
    verifier.verify(token.unwrap().expose()).unwrap()
}
