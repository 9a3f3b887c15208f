//! A database that pg_dump has written and psql has read into another server: all of it is there, and goes on once it is adopted.

use std::process::Command;
use std::time::Duration;

use shared_core::{AssumedTenant, Failure};
use shared_db::{TenantTx, bootstrap, statements};
use shared_devkit::{Postgres, PostgresOptions};
use shared_events::{
    Error, Events, ParkedFilter, Publish as _, Received, Relay, Subscriptions, backlog, delayed, seal,
};

use crate::restore::{Site, session};
use crate::support::{MIGRATIONS, Raised, a_tenant, quick, raised, see, seen, until};

statements! {
    const SEALED: Statement<(), bool> = "
        select (select coalesce(sum(events), 0) from shared_events.seal) = (select count(*) from shared_events.log)";
}

const DUE_NOW: &str = "update shared_events.delayed set due = clock_timestamp()";

/// Sees everything but the key `bad`.
async fn refuses(tx: &mut TenantTx, raised: Received<Raised>) -> Result<(), Failure> {
    if raised.key == "bad" { Err(Failure::dead("as the test wants it")) } else { see(tx, raised).await }
}

/// Runs a program of this server.
async fn run(server: &Postgres, program: &str, arguments: &[&str]) {
    let directory = "select setting from pg_config where name = 'BINDIR'";
    let directory: String = session(server).await.query_one(directory, &[]).await.unwrap().get(0);
    let done = Command::new(format!("{directory}/{program}")).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

/// As an operator moves to a new version: by the programs of the new server, first the roles, then the database.
async fn restore(old: &Postgres, new: &Postgres) {
    let file = |name: &str| format!("{}/{name}.sql", env!("CARGO_TARGET_TMPDIR"));
    let (roles, database, from, to) = (file("roles"), file("database"), old.url(), new.url());
    // The superuser's password is part of the URL, and stays as it is there.
    run(new, "pg_dumpall", &["--roles-only", "--no-role-passwords", "--dbname", from, "--file", &roles])
        .await;
    run(new, "pg_dump", &["--dbname", from, "--file", &database]).await;
    // The superuser is there already, which is an error that is passed over.
    run(new, "psql", &["--quiet", "--dbname", to, "--file", &roles]).await;
    let whole =
        ["--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1", "--dbname", to, "--file", &database];
    run(new, "psql", &whole).await;
}

/// Three events that had their effect, a parked key with one behind it, one for later, all sealed; and two that nobody has read.
async fn at_work(old: &Site, tenant: &AssumedTenant) {
    let events = Events::new().handle("see", refuses);
    let relay = Relay::start(old.db.clone(), (), events, quick()).await.unwrap();
    for key in ["a", "a", "a", "bad", "bad"] {
        old.raise(tenant, key).await;
    }
    let later = async |tx: &mut TenantTx| tx.publish_in(raised("later", 1), Duration::from_secs(3600)).await;
    old.db.tenant(tenant).tx(later).await.unwrap();
    old.settled().await;
    until(async || old.db.system().one(&SEALED, ()).await.unwrap()).await;
    relay.stop().await;
    for _ in 0..2 {
        old.raise(tenant, "a").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_dumped_and_restored_is_adopted_and_has_everything() {
    let (old, tenant) = (Site::new(16).await, a_tenant());
    at_work(&old, &tenant).await;
    let sealed = seal::verify(&old.db, 1).await.unwrap();
    let server = Postgres::exclusive_with(PostgresOptions::bundled().version(18)).await.unwrap();
    restore(&old.server, &server).await;

    // A program finds the schema, the roles and their rights as it left them.
    let migrations = [shared_events::MIGRATIONS, MIGRATIONS];
    let applied = bootstrap(&shared_db::Config::new(server.url()), &migrations).await.unwrap();
    assert_eq!(applied.to_string(), "nothing to apply");
    let new = Site::of(server).await;
    assert_eq!(seal::verify(&new.db, 1).await.unwrap(), sealed);
    assert_eq!(backlog(&new.db).await.unwrap().parked, 2);
    assert_eq!(delayed(&new.db, None, 10).await.unwrap().len(), 1);

    // Its transaction ids are another server's: it does not go on by itself.
    new.work(5000).await;
    assert!(matches!(new.relay().await, Err(Error::Unsafe(why)) if why.contains("another server")));
    new.raise(&tenant, "a").await;
    let subscriptions = Subscriptions::new(&new.db);
    assert_eq!(subscriptions.adopt().await.unwrap(), 0);

    let relay = new.relay().await.unwrap();
    assert_eq!(subscriptions.redrive(ParkedFilter::new().key("bad")).await.unwrap(), 1);
    new.client.batch_execute(DUE_NOW).await.unwrap();
    let seen = async |key: &str| seen(&new.db, &tenant, "see", key).await;
    until(async || seen("bad").await.len() == 2 && seen("later").await.len() == 1).await;
    new.settled().await;
    assert_eq!((seen("a").await, seen("bad").await), (Vec::from_iter(1..=6), vec![1, 2]));
    until(async || new.db.system().one(&SEALED, ()).await.unwrap()).await;
    relay.stop().await;
    assert!(seal::verify(&new.db, 1).await.unwrap().events > sealed.events);
}
