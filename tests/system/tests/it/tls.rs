//! Servers that speak TLS themselves, with devkit's certificates: clients that verify take the right one and no other.

use shared_devkit::{Authority, Certificate, Postgres, PostgresOptions, Redis, RedisOptions};
use system_tests::{PSQL, PYTHON_REDIS, REDIS_CLI};

use crate::process::{Place, run};

async fn postgres(certificate: &Certificate) -> Postgres {
    let options = PostgresOptions::installed().version(15).without_vector();
    let options = options.tls(certificate.certificate_pem(), certificate.key_pem());
    Postgres::exclusive_with(options).await.expect("PostgreSQL 15 with TLS")
}

/// Asks the server whether the connection that asks is encrypted.
async fn psql(server: &Postgres, trusted: &Authority) -> (bool, String) {
    let root = trusted.root_file().display();
    let mut command = Place::new().command(&PSQL);
    command.current_dir("/").arg(format!("{}?sslmode=verify-full&sslrootcert={root}", server.url()));
    run(command.args(["-Atc", "select ssl from pg_stat_ssl where pid = pg_backend_pid()"])).await
}

#[tokio::test]
async fn psql_verifies_postgres() {
    let authority = Authority::new().expect("an authority");
    let server = postgres(&authority.server().expect("a certificate")).await;
    assert_eq!(psql(&server, &authority).await, (true, "t\n".to_owned()));

    let (accepted, said) = psql(&server, &Authority::new().expect("an authority")).await;
    assert!(!accepted && said.contains("certificate verify failed"), "{said}");
}

#[tokio::test]
async fn psql_refuses_a_postgres_of_another_name() {
    let authority = Authority::new().expect("an authority");
    let server = postgres(&authority.server_for("elsewhere.test").expect("a certificate")).await;
    let (accepted, said) = psql(&server, &authority).await;
    assert!(!accepted && said.contains("does not match host name"), "{said}");
}

#[tokio::test]
async fn psql_refuses_a_postgres_of_yesterday() {
    let authority = Authority::new().expect("an authority");
    let server = postgres(&authority.expired().expect("a certificate")).await;
    let (accepted, said) = psql(&server, &authority).await;
    assert!(!accepted && said.contains("certificate verify failed"), "{said}");
}

async fn redis(certificate: &Certificate) -> Redis {
    let options = RedisOptions::installed().version(7);
    let options = options.tls(certificate.certificate_pem(), certificate.key_pem());
    Redis::exclusive_with(options).await.expect("Redis 7 with TLS")
}

/// redis-cli looks at issuer and dates, and never at the name.
async fn redis_cli(server: &Redis, trusted: &Authority) -> String {
    let mut command = Place::new().command(&REDIS_CLI);
    command
        .current_dir("/")
        .args(["-u", server.url(), "--no-auth-warning", "--cacert"])
        .arg(trusted.root_file());
    run(command.arg("ping")).await.1
}

/// Python's client looks at the name too.
async fn python(server: &Redis, trusted: &Authority) -> (bool, String) {
    const PING: &str = "import redis, sys\n\
        print(redis.Redis.from_url(sys.argv[1], ssl_ca_certs=sys.argv[2], ssl_check_hostname=True).ping())";
    let mut command = Place::new().command(&PYTHON_REDIS);
    command.current_dir("/").args(["-c", PING, server.url()]).arg(trusted.root_file());
    run(&mut command).await
}

#[tokio::test]
async fn clients_verify_redis() {
    let authority = Authority::new().expect("an authority");
    let server = redis(&authority.server().expect("a certificate")).await;
    assert_eq!(redis_cli(&server, &authority).await, "PONG\n");
    assert_eq!(python(&server, &authority).await, (true, "True\n".to_owned()));

    let said = redis_cli(&server, &Authority::new().expect("an authority")).await;
    assert!(said.contains("certificate verify failed"), "{said}");
}

#[tokio::test]
async fn python_refuses_a_redis_of_another_name() {
    let authority = Authority::new().expect("an authority");
    let server = redis(&authority.server_for("elsewhere.test").expect("a certificate")).await;
    let (accepted, said) = python(&server, &authority).await;
    assert!(!accepted && said.contains("IP address mismatch"), "{said}");
}

#[tokio::test]
async fn redis_cli_refuses_a_redis_of_yesterday() {
    let authority = Authority::new().expect("an authority");
    let server = redis(&authority.expired().expect("a certificate")).await;
    let said = redis_cli(&server, &authority).await;
    assert!(said.contains("certificate verify failed"), "{said}");
}
