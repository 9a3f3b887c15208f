//! A database that is killed, and one that a standby stands in for: nothing is delivered that it takes back.

use std::sync::Arc;
use std::time::Duration;

use shared_core::AssumedTenant;
use shared_db::{Db, bootstrap};
use shared_devkit::{Postgres, PostgresOptions, Replica};
use shared_events::{Config, Error, Relay, backlog};
use tokio_postgres::{Client, NoTls};

use crate::memory::InMemory;
use crate::support::{MIGRATIONS, a_tenant, connect, quick, raise, seeing, until};

/// A server of a test's own, with a tenant in it.
struct Site {
    url: String,
    db: Db,
    tenant: AssumedTenant,
    sink: InMemory,
}

impl Site {
    async fn on(server: &Postgres) -> Self {
        let migrations = [shared_events::MIGRATIONS, MIGRATIONS];
        bootstrap(&shared_db::Config::new(server.url()), &migrations).await.unwrap();
        let (url, tenant, sink) = (server.url().to_owned(), a_tenant(), InMemory::default());
        Self { db: connect(&url, 5).await, url, tenant, sink }
    }

    /// The same data at another server.
    async fn at(self, server: &Postgres) -> Self {
        Self { db: connect(server.url(), 5).await, url: server.url().to_owned(), ..self }
    }

    async fn raise(&self) -> Result<i64, Error> {
        self.db.tenant(&self.tenant).tx(async |tx| raise(tx, "a").await).await
    }

    /// Brings the log to the sink.
    async fn bring(&self) -> Relay {
        let config = Config { subscription: "memory".to_owned(), rewind: Duration::from_secs(60), ..quick() };
        Relay::to(self.db.clone(), Arc::new(self.sink.clone()), config).await.unwrap()
    }

    async fn superuser(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// What the log has of the key, in its order.
    async fn log(&self) -> Vec<i64> {
        let all = "select (payload ->> 'n')::bigint from shared_events.log where key = 'a' order by pos";
        self.superuser().await.query(all, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Publishes until the sink has so many more.
    async fn publish_until_sent(&self, more: usize) {
        let end = self.sink.got("a").len() + more;
        while self.sink.got("a").len() < end {
            self.raise().await.unwrap();
        }
    }

    /// All that the log has is at the sink, once and in order, and nothing else.
    async fn is_whole(&self) {
        until(async || backlog(&self.db).await.is_ok_and(|backlog| backlog.waiting == 0)).await;
        let log = self.log().await;
        assert_eq!(log, Vec::from_iter(1..=log.len() as i64));
        assert_eq!(self.sink.got("a"), log);
        assert!(self.sink.is_in_order());
    }
}

/// Publishers do not wait for the disk, and the server writes there of its own accord once in ten seconds: the crash takes commits back
/// that others have seen. What the sink has is not among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_takes_back_was_not_delivered() {
    let lazy = PostgresOptions::new().setting("wal_writer_delay", "10s").setting("synchronous_commit", "off");
    let mut server = Postgres::exclusive_with(lazy).await.unwrap();
    let mut site = Site::on(&server).await;
    let mut taken_back = 0;
    for _ in 0..4 {
        let relay = site.bring().await;
        site.publish_until_sent(20).await;
        drop(relay);
        // Seen by others, and not on the disk.
        for _ in 0..5 {
            site.raise().await.unwrap();
        }
        let seen = site.log().await.len();
        server.kill().await.unwrap();
        server.start().await.unwrap();
        site = site.at(&server).await;
        taken_back += seen - site.log().await.len();
        assert!(site.log().await.len() >= site.sink.got("a").len(), "the sink has what was never committed");
    }
    assert!(taken_back > 0, "the crashes took nothing back, which tests nothing");
    let relay = site.bring().await;
    site.raise().await.unwrap();
    site.is_whole().await;
    relay.stop().await;
}

/// A standby that follows the site's server, and that commits wait for.
async fn standby(server: &Postgres, site: &Site) -> Replica {
    let replica = server.replica().await.unwrap();
    let superuser = site.superuser().await;
    superuser.batch_execute("alter system set synchronous_standby_names = '*'").await.unwrap();
    superuser.batch_execute("select pg_reload_conf()").await.unwrap();
    let follows = "select exists (select from pg_stat_replication where sync_state = 'sync')";
    until(async || superuser.query_one(follows, &[]).await.unwrap().get(0)).await;
    replica
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_refused_and_goes_on_where_its_primary_was_when_it_is_promoted() {
    let server = Postgres::exclusive().await.unwrap();
    let site = Site::on(&server).await;
    let replica = standby(&server, &site).await;
    let (bringing, consuming) =
        (site.bring().await, Relay::start(site.db.clone(), (), seeing(), quick()).await.unwrap());
    site.publish_until_sent(20).await;
    let refused = Relay::start(connect(replica.url(), 2).await, (), seeing(), quick()).await;
    assert!(matches!(refused, Err(Error::Unsafe(why)) if why.contains("standby")));

    // In the middle of it.
    let told = async {
        let mut told = 0;
        while let Ok(n) = site.raise().await {
            told = n;
        }
        told
    };
    let killed = async {
        let many = site.sink.got("a").len() + 10;
        until(async || site.sink.got("a").len() >= many).await;
        server.kill().await.unwrap();
    };
    let (told, ()) = tokio::join!(told, killed);
    drop((bringing, consuming));
    let server = replica.promote().await.unwrap();
    let site = site.at(&server).await;
    let log = site.log().await.len() as i64;
    assert!(log >= told, "{told} were told to be committed, and {log} are");
    let (bringing, consuming) =
        (site.bring().await, Relay::start(site.db.clone(), (), seeing(), quick()).await.unwrap());
    for _ in 0..10 {
        site.raise().await.unwrap();
    }
    site.is_whole().await;
    let seen = crate::support::seen(&site.db, &site.tenant, "see", "a").await;
    assert_eq!(seen, site.log().await);
    bringing.stop().await;
    consuming.stop().await;
}

/// The publisher waits for its own server's disk alone; the standby does not get what it writes, and takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_promoted_standby_never_had_was_not_delivered() {
    let server = Postgres::exclusive().await.unwrap();
    let site = Site::on(&server).await;
    let replica = standby(&server, &site).await;
    let relay = site.bring().await;
    site.publish_until_sent(5).await;
    site.is_whole().await;
    let before = site.log().await.len();
    let superuser = site.superuser().await;
    superuser.batch_execute("alter database postgres set synchronous_commit = local").await.unwrap();
    let local = connect(&site.url, 2).await;
    // The standby is cut off for good.
    let (apart, connection) = tokio_postgres::connect(replica.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    apart.batch_execute("alter system set primary_conninfo = ''").await.unwrap();
    apart.batch_execute("select pg_reload_conf()").await.unwrap();
    let alone = "select not exists (select from pg_stat_wal_receiver)";
    until(async || apart.query_one(alone, &[]).await.unwrap().get(0)).await;
    local.tenant(&site.tenant).tx(async |tx| raise(tx, "a").await).await.unwrap();
    // The tick waits for the standby.
    let waits = "select exists (select from pg_stat_activity where wait_event = 'SyncRep')";
    until(async || superuser.query_one(waits, &[]).await.unwrap().get(0)).await;
    assert_eq!((site.log().await.len(), site.sink.got("a").len()), (before + 1, before));
    server.kill().await.unwrap();
    drop(relay);
    let server = replica.promote().await.unwrap();
    let site = site.at(&server).await;
    assert_eq!((site.log().await.len(), site.sink.got("a").len()), (before, before));
    let relay = site.bring().await;
    site.raise().await.unwrap();
    site.is_whole().await;
    relay.stop().await;
}
