//! What one would write with deadpool-postgres, without shared-db.

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use shared_db::Config;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

const SET_TENANT: &str = "select set_config('app.tenant_id', $1, true)";
const BODY: &str = "select body from bench.note where tenant_id = $1 and id = $2";
const CHANGE: &str = "update bench.note set body = $3 where tenant_id = $1 and id = $2";

/// A plain pool of the app role, one of the superuser, and the row that they read.
pub(crate) struct ByHand {
    app: Pool,
    superuser: Pool,
    tenant: Uuid,
    note: Uuid,
}

impl ByHand {
    pub(crate) fn new(url: &str, tenant: Uuid, note: Uuid) -> Self {
        Self { app: app(url), superuser: pool(url, ""), tenant, note }
    }

    /// The usual way: each step waits for the one before.
    pub(crate) async fn read(&self) {
        let client = self.app.get().await.unwrap();
        begin(&client, self.tenant).await;
        let body = client.prepare_cached(BODY).await.unwrap();
        let row = client.query_one(&body, &[&self.tenant, &self.note]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        drop(row.get::<_, String>(0));
    }

    /// What shared-db sends, in one round trip, and nothing around it.
    pub(crate) async fn pipelined(&self) {
        let client = self.app.get().await.unwrap();
        let body = client.prepare_cached(BODY).await.unwrap();
        let begin = format!("BEGIN; SET LOCAL app.tenant_id = '{}'", self.tenant);
        let params: [&(dyn ToSql + Sync); 2] = [&self.tenant, &self.note];
        let (begun, row, committed) = tokio::join!(
            biased;
            client.batch_execute(&begin),
            client.query_one(&body, &params),
            client.batch_execute("COMMIT"),
        );
        begun.and(committed).unwrap();
        drop(row.unwrap().get::<_, String>(0));
    }

    /// A read and a write: five steps.
    pub(crate) async fn change(&self, to: &str) {
        let client = self.app.get().await.unwrap();
        begin(&client, self.tenant).await;
        let body = client.prepare_cached(BODY).await.unwrap();
        let row = client.query_one(&body, &[&self.tenant, &self.note]).await.unwrap();
        drop(row.get::<_, String>(0));
        let change = client.prepare_cached(CHANGE).await.unwrap();
        client.execute(&change, &[&self.tenant, &self.note, &to]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    }

    /// The least that a read can cost: no transaction, no tenant, no row-level security.
    pub(crate) async fn bare(&self) {
        let client = self.superuser.get().await.unwrap();
        let body = client.prepare_cached(BODY).await.unwrap();
        let row = client.query_one(&body, &[&self.tenant, &self.note]).await.unwrap();
        drop(row.get::<_, String>(0));
    }

    /// Out of the pool, one statement, back into the pool.
    pub(crate) async fn select_one(&self) {
        select_one(&self.connection().await).await;
    }

    /// Out of the pool, and kept.
    pub(crate) async fn connection(&self) -> Object {
        self.app.get().await.unwrap()
    }
}

pub(crate) async fn select_one(client: &Object) {
    let one = client.prepare_cached("select 1").await.unwrap();
    client.query_one(&one, &[]).await.unwrap().get::<_, i32>(0);
}

/// BEGIN, and the tenant.
pub(crate) async fn begin(client: &Object, tenant: Uuid) {
    let set = client.prepare_cached(SET_TENANT).await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    client.execute(&set, &[&tenant.to_string()]).await.unwrap();
}

/// A pool of the app role.
pub(crate) fn app(url: &str) -> Pool {
    pool(url, "-c role=shared_app")
}

/// As many connections as shared-db has, recycled as cheaply.
pub(crate) fn pool(url: &str, options: &str) -> Pool {
    let mut settings: tokio_postgres::Config = url.parse().unwrap();
    settings.options(options);
    let recycled = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(settings, NoTls, recycled);
    Pool::builder(manager).max_size(Config::new(url).pool_size as usize).build().unwrap()
}
