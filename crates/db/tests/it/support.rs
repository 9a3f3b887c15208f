//! A migrated database for each test.

use std::time::Duration;

use shared_core::{AssumedTenant, Context, Id, Secret, TenantId};
use shared_db::{
    AtCommit, Bound, Config, Db, Error, MIGRATIONS, MigrationSet, Row, Step, bootstrap, fingerprint,
    statements,
};
use shared_devkit::{Proxy, TestDatabase};
use tokio_postgres::{Client, NoTls};

use crate::server::{self, Shared};

/// The tables that the tests work on.
pub(crate) const NOTES: MigrationSet = MigrationSet::new(
    "notes",
    &[Step::sql(
        1,
        "note",
        "create table notes.note (
             tenant_id uuid not null, id uuid not null, body text not null,
             primary key (tenant_id, id), constraint body_is_not_empty check (body <> ''));
         select shared_db.tenant_table('notes.note');
         create table notes.country (code text primary key, name text not null);
         grant select, insert, update, delete on notes.country to {app};",
    )],
)
.requires(&["shared_db"]);

/// A note as it is stored.
#[derive(Debug, PartialEq, Eq, Row)]
pub(crate) struct Note {
    pub id: Id<Note>,
    pub body: String,
}

statements! {
    pub(crate) const INSERT: Statement<(Id<Note>, String), Note> = "
        insert into notes.note (tenant_id, id, body) values ($tenant, $1, $2) returning id, body";
    const ADD: Statement<(Vec<String>,), ()> = "
        insert into notes.note (tenant_id, id, body) select $tenant, gen_random_uuid(), b from unnest($1::text[]) b";
    pub(crate) const BODIES: Statement<(), String> = "select body from notes.note order by id";
    pub(crate) const COUNT: Statement<(), i64> = "select count(*) from notes.note";
}

/// A database of this test's own, and the settings that reach it.
pub(crate) struct Database {
    pub config: Config,
    /// Past any proxy.
    pub direct: String,
    _database: TestDatabase,
    _server: Shared,
}

impl Database {
    /// Connections come through a proxy from now on.
    pub(crate) async fn behind_proxy(&mut self) -> Proxy {
        let proxy = Proxy::to(self.config.url.expose()).await.unwrap();
        self.config.url = Secret::new(proxy.url(self.config.url.expose()));
        proxy
    }
}

/// A migrated database.
pub(crate) async fn database() -> Database {
    let server = server::shared().await;
    let migrate = async |url: String| bootstrap(&Config::new(url), &[NOTES]).await.map(drop);
    let database = server.database(&fingerprint(&[MIGRATIONS, NOTES]), migrate).await.unwrap();
    let direct = database.url().to_owned();
    Database { config: Config::new(&direct), direct, _database: database, _server: server }
}

/// A migrated database with a pool.
pub(crate) async fn connected() -> (Database, Db) {
    let database = database().await;
    let db = Db::connect(&database.config).await.unwrap();
    (database, db)
}

/// The same with as many connections of a role as said, and little patience.
pub(crate) async fn connected_with(pool_size: u32) -> (Database, Db) {
    let mut database = database().await;
    database.config.pool_size = pool_size;
    database.config.pool_timeout = Duration::from_secs(20);
    let db = Db::connect(&database.config).await.unwrap();
    (database, db)
}

/// A superuser's session, past all doors.
pub(crate) async fn admin(config: &Config) -> Client {
    let (client, connection) = tokio_postgres::connect(config.url.expose(), NoTls).await.unwrap();
    // It ends with the client.
    tokio::spawn(connection);
    client
}

/// Waits until `reached` says so; fails after ten seconds, or the time that was given.
pub(crate) async fn eventually(within: Duration, mut reached: impl AsyncFnMut() -> bool) {
    let start = std::time::Instant::now();
    while !reached().await {
        assert!(start.elapsed() < within, "it has not come to pass within {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
    }
}

/// What the app role's connections to this database do: their states, without those at rest.
pub(crate) async fn at_work(admin: &Client) -> Vec<String> {
    const BUSY: &str = "select state || ': ' || query from pg_stat_activity
        where datname = current_database() and application_name in ('shared_app', 'shared_system') and state <> 'idle'";
    admin.query(BUSY, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// A tenant that nobody else has.
pub(crate) fn tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test has no token")
}

/// For `tx`, whose error type has to be named somewhere.
pub(crate) type Done<T = ()> = Result<T, Error>;

/// Bodies that are written with the COMMIT.
#[derive(Default)]
pub(crate) struct Collecting(pub(crate) Vec<String>);

impl AtCommit for Collecting {
    fn mark(&self) -> usize {
        self.0.len()
    }
    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
    fn statements(&self, _: &Context) -> Vec<Bound> {
        vec![ADD.bind((self.0.clone(),))]
    }
    fn committed(&self, db: &Db) {
        db.signal("collected").notify_one();
    }
}
