//! Encrypted is the same as verified.

use shared_db::Error;
use shared_db::redis::{Config, Redis, cmd};
use shared_devkit::{Authority, Proxy, Tls};

use super::database;

#[tokio::test]
async fn a_certificate_of_a_known_authority_and_the_right_name_is_believed_and_no_other() {
    let (database, authority) = (database().await, Authority::new().unwrap());
    let stranger = Authority::new().unwrap();
    let cases = [
        (authority.server().unwrap(), true),
        (authority.server_for("elsewhere.test").unwrap(), false),
        (authority.expired().unwrap(), false),
        (stranger.server().unwrap(), false),
    ];
    for (number, (certificate, believed)) in cases.into_iter().enumerate() {
        let proxy = Proxy::with_tls(database.url(), &Tls::at_once(&certificate)).await.unwrap();
        let url = proxy.url(database.url()).replace("redis://", "rediss://");
        let mut config = Config::new(url);
        config.ca_certificate = Some(authority.root_pem().to_owned());
        match Redis::connect(&config).await {
            Ok(redis) => {
                assert!(believed, "case {number}");
                assert_eq!(redis.command::<String>(cmd("ECHO").arg("hidden")).await.unwrap(), "hidden");
                redis.get().await.unwrap().command::<()>(&cmd("PING")).await.unwrap();
            }
            Err(error) => {
                assert!(!believed && matches!(error, Error::Connect { .. }), "case {number}: {error}")
            }
        }
        // The system's authorities have never heard of ours.
        config.ca_certificate = None;
        assert!(matches!(Redis::connect(&config).await, Err(Error::Connect { .. })), "case {number}");
    }
}
