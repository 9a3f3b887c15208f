//! What must not be seen is not, and what the process has installed does not matter.

use jsonwebtoken::crypto::{CryptoProvider, KeyUtils};
use shared_core::TenantId;
use shared_core::schema::from_pairs;
use shared_devkit::child::{self, Child};
use shared_devkit::{Postgres, secrecy};
use shared_security::{Config, Grant, Principal};

use crate::log::Log;
use crate::support::*;

#[test]
fn keys_and_tokens_are_not_shown() {
    let config: Config = from_pairs([("SIGNING_KEY", OURS), ("KEYS", OURS_PUBLIC)]).unwrap();
    let issuer = config.issuer().unwrap();
    let token = issuer.issue(&Grant::new(TenantId::new(), "user:7").with_permissions(ReadNotes)).unwrap();
    let verified = config.verifier().unwrap().verify(token.expose()).unwrap();
    let principal = Principal::new(verified.clone(), &MATRIX, None);
    let shown = format!(
        "{config:?} {issuer:?} {token:?} {verified:?} {principal:?} {:?} {:?}",
        config.signing_key,
        principal.may::<ReadNotes>(),
    );
    for part in token.expose().split('.').chain([&OURS[22..]]) {
        assert!(!shown.contains(part), "{shown}");
    }
    assert!(shown.contains("May(notes:read, user:7"), "{shown}");
}

#[tokio::test]
async fn a_refused_token_is_logged_with_its_reason_and_without_itself() {
    let log = Log::default();
    let _logging = log.install();

    let token = signed_by(THEIRS, header(), claims());
    assert_eq!(crate::http::get("/notes", &[&format!("Bearer {token}")]).await.status, 401);

    let log = log.text();
    assert!(log.contains("the token's signature is wrong"), "{log}");
    assert!(token.split('.').all(|part| !log.contains(part)), "{log}");
}

/// `jsonwebtoken` panics at the first use of its process-wide provider when both of its backends are switched on,
/// by whatever crate of the program. Here that provider always panics, and every test of this binary goes on.
#[test]
fn the_provider_of_the_process_is_never_asked() {
    static PANICS: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| panic!("asked for a signer"),
        verifier_factory: |_, _| panic!("asked for a verifier"),
        key_utils: KeyUtils::new_unimplemented(),
    };
    PANICS.install_default().expect("nothing in this binary installs or uses another one");
    let token = issuer().issue(&Grant::new(TenantId::new(), "user:7")).unwrap();
    assert!(verifier().verify(token.expose()).is_ok());
}

/// ASVS 16.2.5: what all tests of this binary log is searched for secrets, at every level; and the search finds one.
#[tokio::test]
async fn a_secret_in_the_log_ends_the_run() {
    if child::enter().unwrap().is_some() {
        secrecy::watch();
        let token = issuer().issue(&Grant::new(TenantId::new(), "user:7")).unwrap();
        let task = tokio::spawn(async move { tracing::trace!(token = token.expose(), "planted") });
        task.await.unwrap();
        return;
    }
    let mut child = Child::test_function("secrecy::a_secret_in_the_log_ends_the_run").start().unwrap();
    let status = child.ended().await.unwrap();
    let said = child.output();
    assert_eq!(status.code(), Some(secrecy::EXIT_CODE), "{said}");
    assert!(said.contains("a signed token was logged by this process"), "{said}");
}

/// ASVS 16.2.5: the same for the logs of servers. A statement that fails is in PostgreSQL's log, and a secret belongs into a parameter.
#[tokio::test]
async fn a_secret_in_the_log_of_a_server_ends_the_run() {
    if child::enter().unwrap().is_some() {
        // Its own server: others would find the secret as well.
        let server = Postgres::exclusive().await.unwrap();
        let database = server.empty_database().await.unwrap();
        let (client, connection) =
            tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query("select $1::text::int", &[&secrecy::MARK]).await.unwrap_err();
        println!("a parameter was no secret");
        client.batch_execute(&format!("select '{}'::int", secrecy::MARK)).await.unwrap_err();
        drop(database);
        return;
    }
    let child = Child::test_function("secrecy::a_secret_in_the_log_of_a_server_ends_the_run");
    let mut child = child.start().unwrap();
    let status = child.ended().await.unwrap();
    let said = child.output();
    assert_eq!(status.code(), Some(secrecy::EXIT_CODE), "{said}");
    assert!(said.contains("a parameter was no secret"), "{said}");
    assert!(said.contains("a secret with the mark of tests was logged by"), "{said}");
}
