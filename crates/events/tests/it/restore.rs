//! A log in another server than the one that drew its transaction ids, which mean nothing there. What a dump would bring is copied row by
//! row, so that the new server may be the older one; pg_dump itself runs in `dump.rs`.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};
use shared_core::AssumedTenant;
use shared_db::{Db, bootstrap};
use shared_devkit::{Postgres, PostgresOptions, Shutdown};
use shared_events::{Error, Relay, Subscriptions, backlog};
use tokio_postgres::{Client, NoTls};

use crate::support::{MIGRATIONS, a_tenant, connect, quick, raise, seeing, until};

/// What a dump has.
const TABLES: [&str; 8] = [
    "it.counter",
    "it.seen",
    "shared_events.tick_lock",
    "shared_events.tick",
    "shared_events.log (pos, xid, lane, id, tenant_id, name, version, key, payload, context, at)",
    "shared_events.subscription",
    "shared_events.cursor",
    "shared_events.position",
];

const SEQUENCES: [&str; 2] = ["shared_events.log_pos_seq", "shared_events.tick_seq"];

/// A server of its own, with the log in it.
pub(crate) struct Site {
    pub(crate) server: Postgres,
    pub(crate) db: Db,
    pub(crate) client: Client,
}

impl Site {
    pub(crate) async fn new(version: u32) -> Self {
        let server = Postgres::exclusive_with(PostgresOptions::bundled().version(version)).await.unwrap();
        let migrations = [shared_events::MIGRATIONS, MIGRATIONS];
        bootstrap(&shared_db::Config::new(server.url()), &migrations).await.unwrap();
        Self::of(server).await
    }

    pub(crate) async fn of(server: Postgres) -> Self {
        let (db, client) = (connect(server.url(), 5).await, session(&server).await);
        Self { db, client, server }
    }

    pub(crate) async fn raise(&self, tenant: &AssumedTenant, key: &str) {
        self.db.tenant(tenant).tx(async |tx| raise(tx, key).await).await.unwrap();
    }

    pub(crate) async fn relay(&self) -> Result<Relay, Error> {
        Relay::start(self.db.clone(), (), seeing(), quick()).await
    }

    pub(crate) async fn settled(&self) {
        until(async || backlog(&self.db).await.unwrap().waiting == 0).await;
    }

    /// Draws transaction ids, as years of work do.
    pub(crate) async fn work(&self, transactions: i64) {
        let work = format!(
            "do $$ begin for n in 1..{transactions} loop perform pg_current_xact_id(); commit; end loop; end $$"
        );
        self.client.batch_execute(&work).await.unwrap();
    }

    async fn dumped_into(&self, other: &Site) {
        for table in TABLES {
            let (name, _) = table.split_once(' ').unwrap_or((table, ""));
            // What the migrations have made; the log, from which nothing is deleted, is empty.
            if name != "shared_events.log" {
                other.client.batch_execute(&format!("delete from {name}")).await.unwrap();
            }
            let out = self.client.copy_out(&format!("copy {} to stdout", rows(table))).await.unwrap();
            let rows: Vec<Bytes> = out.try_collect().await.unwrap();
            let into = other.client.copy_in::<_, Bytes>(&format!("copy {table} from stdin")).await.unwrap();
            let mut into = std::pin::pin!(into);
            for row in rows {
                into.send(row).await.unwrap();
            }
            into.close().await.unwrap();
        }
        for sequence in SEQUENCES {
            let last = format!("select last_value from {sequence}");
            let last: i64 = self.client.query_one(&last, &[]).await.unwrap().get(0);
            other.client.batch_execute(&format!("select setval('{sequence}', {last})")).await.unwrap();
        }
    }

    /// As an operator does it whose server's counter is too low.
    async fn raise_epoch(self, epoch: u32) -> Self {
        let shows = async |what: &str| -> String { self.client.query_one(what, &[]).await.unwrap().get(0) };
        let directory = shows("show data_directory").await;
        let programs = shows("select setting from pg_config where name = 'BINDIR'").await;
        let Self { mut server, .. } = self;
        server.stop(Shutdown::Fast).await.unwrap();
        let owner = std::fs::metadata(&directory).unwrap();
        let mut reset = Command::new(format!("{programs}/pg_resetwal"));
        reset.arg(format!("--epoch={epoch}")).arg(&directory).uid(owner.uid()).gid(owner.gid());
        assert!(reset.status().unwrap().success());
        server.start().await.unwrap();
        Self::of(server).await
    }
}

/// A session of the superuser.
pub(crate) async fn session(server: &Postgres) -> Client {
    let (client, connection) = tokio_postgres::connect(server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The log can only be copied as a query: it is partitioned.
fn rows(table: &str) -> String {
    match table.split_once(" (") {
        Some((name, columns)) => format!("(select {} from {name})", columns.trim_end_matches(')')),
        None => table.to_owned(),
    }
}

/// Three events had their effect before the dump, two had not.
async fn dumped(old: &Site, tenant: &AssumedTenant) {
    let relay = old.relay().await.unwrap();
    for _ in 0..3 {
        old.raise(tenant, "a").await;
    }
    old.settled().await;
    relay.stop().await;
    for _ in 0..2 {
        old.raise(tenant, "a").await;
    }
}

async fn resumes(site: &Site, tenant: &AssumedTenant, events: i64) {
    let relay = site.relay().await.unwrap();
    site.raise(tenant, "a").await;
    site.settled().await;
    let seen = crate::support::seen(&site.db, tenant, "see", "a").await;
    assert_eq!(seen, Vec::from_iter(1..=events));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_in_a_server_that_has_long_passed_its_transactions_is_refused_until_it_is_adopted() {
    let (old, new, tenant) = (Site::new(18).await, Site::new(16).await, a_tenant());
    new.work(5000).await;
    dumped(&old, &tenant).await;
    old.dumped_into(&new).await;
    assert!(matches!(new.relay().await, Err(Error::Unsafe(why)) if why.contains("another server")));
    new.raise(&tenant, "a").await;
    // It is among those that no tick has seen, as it should be.
    assert_eq!(Subscriptions::new(&new.db).adopt().await.unwrap(), 0);
    resumes(&new, &tenant, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_in_a_young_server_is_adopted_once_its_counter_is_raised_and_nothing_is_lost() {
    let (old, new, tenant) = (Site::new(18).await, Site::new(16).await, a_tenant());
    old.work(20_000).await;
    dumped(&old, &tenant).await;
    old.dumped_into(&new).await;
    assert!(matches!(new.relay().await, Err(Error::Unsafe(why)) if why.contains("another server")));
    // Its transaction id is one that the old server's ticks have seen.
    new.raise(&tenant, "a").await;
    let refused = Subscriptions::new(&new.db).adopt().await;
    assert!(
        matches!(&refused, Err(Error::Conflict { reason, .. }) if reason.contains("pg_resetwal --epoch=1")),
        "{refused:?}"
    );
    let new = new.raise_epoch(1).await;
    assert_eq!(Subscriptions::new(&new.db).adopt().await.unwrap(), 1);
    resumes(&new, &tenant, 7).await;
}

/// A relay that runs while its database is exchanged does not start anew: it makes no tick.
#[tokio::test]
async fn a_relay_that_finds_itself_at_another_server_makes_no_tick() {
    let world = crate::support::World::new().await;
    let relay = world.relay(seeing()).await;
    world.raise("a").await;
    world.settled().await;
    let superuser = world.superuser().await;
    superuser.batch_execute("update shared_events.tick_lock set server = server + 1").await.unwrap();
    world.raise("a").await;
    let said = "select exists (select from shared_events.relay where state ->> 'last_error' like '%another server%')";
    until(async || superuser.query_one(said, &[]).await.unwrap().get(0)).await;
    assert_eq!(world.seen("see", "a").await, [1]);
    assert_eq!(Subscriptions::new(&world.db).adopt().await.unwrap(), 0);
    world.settled().await;
    assert_eq!(world.seen("see", "a").await, [1, 2]);
    relay.stop().await;
}
