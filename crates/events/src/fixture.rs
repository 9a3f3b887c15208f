//! What tests of this crate need to bring subscriptions into every state by hand: a database, and rows as relays and consumers leave them.

use shared_core::{AssumedTenant, InTenant, TenantId};
use shared_db::{Config, Db, bootstrap};
use shared_devkit::{Postgres, PostgresOptions, TestDatabase};
use tokio_util::task::AbortOnDropHandle;

use crate::{MIGRATIONS, Subscriptions};

/// A database of one test, with a tenant in it.
pub(crate) struct Fixture {
    url: String,
    pub(crate) db: Db,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) tenant: TenantId,
    superuser: Session,
    _kept: (Postgres, Option<TestDatabase>),
}

/// A connection of the superuser.
pub(crate) struct Session {
    client: tokio_postgres::Client,
    _driver: AbortOnDropHandle<Result<(), tokio_postgres::Error>>,
}

impl Session {
    pub(crate) async fn new(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        Self { client, _driver: AbortOnDropHandle::new(tokio::spawn(connection)) }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The one value of a query, as text.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.client.query_one(&format!("select ({sql})::text"), &[]).await.unwrap().get(0)
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        Self::on(database.url().to_owned(), (server, Some(database))).await
    }

    /// On a server of its own, whose settings a shared one does not have.
    pub(crate) async fn alone(options: PostgresOptions) -> Self {
        let server = Postgres::exclusive_with(options).await.unwrap();
        Self::on(server.url().to_owned(), (server, None)).await
    }

    async fn on(url: String, kept: (Postgres, Option<TestDatabase>)) -> Self {
        let config = Config::new(&url);
        bootstrap(&config, &[MIGRATIONS]).await.unwrap();
        let db = Db::connect(&config).await.unwrap();
        let (subscriptions, superuser) = (Subscriptions::new(&db), Session::new(&url).await);
        let proof = AssumedTenant::new(TenantId::new(), "a test has no token");
        Self { url, db, subscriptions, tenant: proof.context().tenant(), superuser, _kept: kept }
    }

    /// Another connection of the superuser.
    pub(crate) async fn session(&self) -> Session {
        Session::new(&self.url).await
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.superuser.run(sql).await;
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        self.superuser.text(sql).await
    }

    /// A subscription at the beginning of the log.
    pub(crate) async fn subscribe(&self, name: &str) {
        self.run(&format!(
            "insert into shared_events.subscription (name) values ('{name}');
             insert into shared_events.cursor (subscription, lane) select '{name}', lane from generate_series(0, 15) as lane"
        ))
        .await;
    }

    /// A committed event, so old.
    pub(crate) async fn publish(&self, key: &str, age: &str) {
        self.run(&self.publishing(key, age)).await;
    }

    pub(crate) fn publishing(&self, key: &str, age: &str) -> String {
        let tenant = self.tenant;
        format!(
            "insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context, at)
             values (shared_events.lane_of('{tenant}', '{key}'), gen_random_uuid(), '{tenant}', 'note.created', 1, '{key}', '{{\"secret\": 1}}', '{{}}', clock_timestamp() - interval '{age}')"
        )
    }

    /// A tick of this moment.
    pub(crate) async fn cut(&self) {
        self.run("insert into shared_events.tick (snap) values (pg_current_snapshot())").await;
    }

    /// Moves a subscription to the newest tick, as if it had done everything.
    pub(crate) async fn pass(&self, subscription: &str) {
        self.cut().await;
        self.run(&format!(
            "update shared_events.cursor set tick = (select max(tick) from shared_events.tick), pos = 0, moved = clock_timestamp()
              where subscription = '{subscription}'"
        ))
        .await;
    }

    /// A relay that is alive, has all lanes, and says this of itself.
    pub(crate) async fn relay(&self, subscription: &str, state: &str) {
        self.run(&format!(
            "insert into shared_events.relay (subscription, owner, expires, host, pid, state)
             values ('{subscription}', '00000000-0000-7000-8000-000000000001', clock_timestamp() + interval '1 hour', 'box', 4711, '{state}');
             update shared_events.cursor
                set owner = '00000000-0000-7000-8000-000000000001', expires = clock_timestamp() + interval '1 hour', epoch = epoch + 1
              where subscription = '{subscription}'"
        ))
        .await;
    }

    /// A key of consumer `digest` that is parked: its first event dead, so many behind it.
    pub(crate) async fn park(&self, subscription: &str, key: &str, reason: &str, followers: u32) {
        let tenant = self.tenant;
        self.run(&format!(
            "insert into shared_events.position (tenant_id, subscription, consumer, lane)
             values ('{tenant}', '{subscription}', 'digest', 0) on conflict do nothing;
             insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, event_id, name, reason, attempts, state)
             select '{tenant}', '{subscription}', 'digest', 0, '{key}', nextval('shared_events.log_pos_seq'), gen_random_uuid(), 'note.created',
                    case when n = 0 then '{reason}' end, case when n = 0 then 5 else 0 end, case when n = 0 then 'dead' else 'waiting' end
               from generate_series(0, {followers}) as n"
        ))
        .await;
    }

    /// So many events that are due in an hour, and a second after each other.
    pub(crate) async fn delay(&self, events: u32) {
        let tenant = self.tenant;
        self.run(&format!(
            "insert into shared_events.delayed (tenant_id, id, name, version, key, payload, context, due)
             select '{tenant}', gen_random_uuid(), 'note.expired', 1, 'a', '{{}}', '{{}}', clock_timestamp() + make_interval(hours => 1, secs => n)
               from generate_series(1, {events}) as n"
        ))
        .await;
    }

    /// The states of a parked key's events, in their order.
    pub(crate) async fn states(&self, key: &str) -> String {
        self.text(&format!("select coalesce(string_agg(state, ' ' order by pos), '') from shared_events.parked where key = '{key}'"))
            .await
    }
}
