//! What one would write without shared-db.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use shared_db::Config;
use tokio_postgres::NoTls;
use uuid::Uuid;

const BODY: &str = "select body from bench.note where tenant_id = $1 and id = $2";

/// A plain pool of the app role, one of the superuser, and the row that they read.
pub(crate) struct ByHand {
    app: Pool,
    superuser: Pool,
    tenant: Uuid,
    note: Uuid,
}

impl ByHand {
    pub(crate) fn new(config: &Config, tenant: Uuid, note: Uuid) -> Self {
        Self { app: pool(config, "-c role=shared_app"), superuser: pool(config, ""), tenant, note }
    }

    /// The usual way: each step waits for the one before.
    pub(crate) async fn four_trips(&self) {
        let client = self.app.get().await.unwrap();
        let set = client.prepare_cached("select set_config('app.tenant_id', $1, true)").await.unwrap();
        let body = client.prepare_cached(BODY).await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        client.execute(&set, &[&self.tenant.to_string()]).await.unwrap();
        let row = client.query_one(&body, &[&self.tenant, &self.note]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        drop(row.get::<_, String>(0));
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
        let client = self.app.get().await.unwrap();
        let one = client.prepare_cached("select 1").await.unwrap();
        client.query_one(&one, &[]).await.unwrap().get::<_, i32>(0);
    }
}

/// As many connections as shared-db has, recycled as cheaply.
fn pool(config: &Config, options: &str) -> Pool {
    let mut settings: tokio_postgres::Config = config.url.expose().parse().unwrap();
    settings.options(options);
    let recycled = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(settings, NoTls, recycled);
    Pool::builder(manager).max_size(config.pool_size as usize).build().unwrap()
}
