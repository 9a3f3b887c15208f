//! Clients of another language reach devkit's servers, as they are and through its proxy with TLS.

use shared_devkit::{Authority, Postgres, Proxy, Redis, Tls};
use system_tests::{PYTHON_POSTGRES, PYTHON_REDIS, Program};

use crate::process::{Place, run};

async fn python(program: &Program, script: &str, arguments: &[&str]) -> String {
    let mut command = Place::new().command(program);
    let (success, said) = run(command.current_dir("/").args(["-c", script]).args(arguments)).await;
    assert!(success, "{said}");
    said
}

/// Adds one to 41, and says whether the connection is encrypted.
const PSYCOPG: &str = "
import psycopg2, sys
with psycopg2.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    cursor.execute('select %s + 1, ssl from pg_stat_ssl where pid = pg_backend_pid()', (41,))
    print(cursor.fetchone()[0], connection.info.ssl_in_use)
";

#[tokio::test]
async fn psycopg_reaches_postgres() {
    let server = Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    assert_eq!(python(&PYTHON_POSTGRES, PSYCOPG, &[database.url()]).await, "42 False\n");

    let authority = Authority::new().expect("an authority");
    let tls = Tls::postgres(&authority.server().expect("a certificate"));
    let proxy = Proxy::with_tls(database.url(), &tls).await.expect("a proxy");
    let root = authority.root_file().display();
    let verified = format!("{}?sslmode=verify-full&sslrootcert={root}", proxy.url(database.url()));
    assert_eq!(python(&PYTHON_POSTGRES, PSYCOPG, &[&verified]).await, "42 True\n");
}

/// Writes and reads a key.
const REDIS: &str = "
import redis, sys
url, key, *root = sys.argv[1:]
verified = {'ssl_ca_certs': root[0], 'ssl_check_hostname': True} if root else {}
client = redis.Redis.from_url(url, **verified)
client.set(key, 'kept')
print(client.get(key).decode())
";

#[tokio::test]
async fn redis_py_reaches_redis() {
    let server = Redis::shared().await.expect("a server");
    let database = server.database().await.expect("a database");
    let key = format!("{}greeting", database.prefix());
    assert_eq!(python(&PYTHON_REDIS, REDIS, &[database.url(), &key]).await, "kept\n");

    let authority = Authority::new().expect("an authority");
    let tls = Tls::at_once(&authority.server().expect("a certificate"));
    let proxy = Proxy::with_tls(database.url(), &tls).await.expect("a proxy");
    let url = proxy.url(database.url()).replace("redis://", "rediss://");
    let root = authority.root_file().to_str().expect("a path in UTF-8");
    assert_eq!(python(&PYTHON_REDIS, REDIS, &[&url, &key, root]).await, "kept\n");
}
