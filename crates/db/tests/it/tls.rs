//! Encrypted connections: to whom, and to nobody else.

use std::time::Duration;

use shared_core::{Id, Secret};
use shared_db::{Closed, Config, Db, Error, statements};
use shared_devkit::{Authority, Certificate, Proxy, Tls};

use crate::support::{Database, INSERT, admin, at_work, database, eventually, tenant};

statements! {
    const SLEEP: Statement<(f64,), ()> = "select pg_sleep($1)";
}

/// The database behind a server that shows this certificate, as the program reaches it that believes the authority.
async fn behind(certificate: &Certificate, authority: &Authority) -> (Database, Proxy, Config) {
    let database = database().await;
    let proxy = Proxy::with_tls(database.config.url.expose(), &Tls::postgres(certificate)).await.unwrap();
    let url = proxy.url(database.config.url.expose()).replace("127.0.0.1", "localhost");
    let mut config = Config::new(format!("{url}?sslmode=verify-full"));
    config.ca_certificate = Some(authority.root_pem().to_owned());
    (database, proxy, config)
}

#[tokio::test]
async fn a_server_of_the_right_authority_and_name_is_spoken_to_encrypted() {
    let authority = Authority::new().unwrap();
    let (database, proxy, config) = behind(&authority.server().unwrap(), &authority).await;
    let db = Db::connect(&config).await.unwrap();
    db.tenant(&tenant()).one(&INSERT, (Id::new(), "secret")).await.unwrap();
    let counters = proxy.counters();
    assert!(counters.handshakes >= 2 && counters.failed_handshakes == 0, "{counters:?}");
    assert_eq!(counters.handshakes, counters.accepted, "nothing goes by in the clear");

    // The request to cancel goes the same way.
    let door = db.untenanted();
    assert!(tokio::time::timeout(Duration::from_secs(1), door.execute(&SLEEP, (60.0,))).await.is_err());
    let admin = admin(&database.config).await;
    eventually(Duration::from_secs(5), async || at_work(&admin).await.is_empty()).await;
    assert_eq!(db.close(Duration::from_secs(5)).await, Closed::default());
    // One that was no longer needed may have been dropped in the middle of its handshake.
    let cancelled = proxy.counters();
    assert!(cancelled.handshakes > counters.handshakes, "{cancelled:?}");
}

#[tokio::test]
async fn at_the_end_all_is_cancelled_at_once_however_far_the_server_is() {
    const SLEEPERS: usize = 20;
    let authority = Authority::new().unwrap();
    let (database, proxy, mut config) = behind(&authority.server().unwrap(), &authority).await;
    let near = database.config.url.expose();
    let far = Proxy::to(&proxy.url(near)).await.unwrap();
    let url = far.url(near).replace("127.0.0.1", "localhost");
    config.url = Secret::new(format!("{url}?sslmode=verify-full"));
    config.pool_size = SLEEPERS as u32;
    let db = Db::connect(&config).await.unwrap();
    let asked = (0..SLEEPERS).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { db.untenanted().execute(&SLEEP, (60.0,)).await })
    });
    let asked: Vec<_> = asked.collect();
    let admin = admin(&database.config).await;
    eventually(Duration::from_secs(20), async || at_work(&admin).await.len() == SLEEPERS).await;

    // A request to cancel waits for two answers, as it is encrypted: one after the other they would take four seconds.
    far.to_client().delay(Duration::from_millis(100));
    let closed = db.close(Duration::ZERO).await;
    assert_eq!((closed.cancelled, closed.terminated), (SLEEPERS, 0));
    for one in asked {
        assert!(one.await.unwrap().unwrap_err().is_timeout());
    }
}

#[tokio::test]
async fn whoever_else_answers_is_refused() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let impostors = [
        ("another name", authority.server_for("db.example").unwrap()),
        ("an expired certificate", authority.expired().unwrap()),
        ("one that is not valid yet", authority.not_yet_valid().unwrap()),
        ("another authority", other.server().unwrap()),
    ];
    for (what, certificate) in impostors {
        let (_database, proxy, config) = behind(&certificate, &authority).await;
        let error = Db::connect(&config).await.unwrap_err();
        assert!(matches!(&error, Error::Connect { .. }), "{what}: {error}");
        assert!(error.to_string().contains("certificate"), "{what}: {error}");
        assert_eq!(proxy.counters().handshakes, 0, "{what}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear() {
    let database = database().await;
    let proxy = Proxy::with_tls(database.config.url.expose(), &Tls::postgres_without()).await.unwrap();
    let url = proxy.url(database.config.url.expose());
    let asked = |mode: &str| Config::new(format!("{url}?sslmode={mode}"));
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = Db::connect(&asked(mode)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Connect { .. }) && error.to_string().contains("TLS"),
            "{mode}: {error}"
        );
    }
    Db::connect(&asked("prefer")).await.unwrap();
}
