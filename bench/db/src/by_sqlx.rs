//! The same with sqlx.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

const SET_TENANT: &str = "select set_config('app.tenant_id', $1, true)";
const BODY: &str = "select body from bench.note where tenant_id = $1 and id = $2";
const CHANGE: &str = "update bench.note set body = $3 where tenant_id = $1 and id = $2";

/// Its pool of the app role, and the row that it reads.
pub(crate) struct BySqlx {
    pool: PgPool,
    tenant: Uuid,
    note: Uuid,
}

impl BySqlx {
    pub(crate) fn new(url: &str, tenant: Uuid, note: Uuid) -> Self {
        let options = url.parse::<PgConnectOptions>().unwrap().options([("role", "shared_app")]);
        // At its default sqlx pings each connection that it lends, which would be one trip more.
        let pool = PgPoolOptions::new().max_connections(10).test_before_acquire(false);
        Self { pool: pool.connect_lazy_with(options), tenant, note }
    }

    pub(crate) async fn read(&self) {
        let mut tx = self.begin().await;
        drop(self.body(&mut tx).await);
        tx.commit().await.unwrap();
    }

    pub(crate) async fn change(&self, to: &str) {
        let mut tx = self.begin().await;
        drop(self.body(&mut tx).await);
        let change = sqlx::query(CHANGE).bind(self.tenant).bind(self.note).bind(to);
        change.execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn begin(&self) -> Transaction<'_, Postgres> {
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query(SET_TENANT).bind(self.tenant.to_string()).execute(&mut *tx).await.unwrap();
        tx
    }

    async fn body(&self, tx: &mut Transaction<'_, Postgres>) -> String {
        let body = sqlx::query_scalar(BODY).bind(self.tenant).bind(self.note);
        body.fetch_one(&mut **tx).await.unwrap()
    }
}
