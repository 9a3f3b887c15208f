//! A migrated database for each test, and sessions in it.

use std::time::Duration;

use serde_json::json;
use shared_core::{AssumedTenant, InTenant, Secret, TenantId};
use shared_db::Db;
use shared_devkit::TestDatabase;
use shared_security::{
    Device, NewSession, OpenSession, RefreshError, RevocationConfig, Revocations, SessionConfig, Sessions,
    Verified, WhenStale,
};

use crate::support::{claims, database, header, signed, verifier_now, with};

pub(crate) const USER: &str = "user:7";
pub(crate) const CLIENT: &str = "notes-app";

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) db: Db,
    pub(crate) tenant: AssumedTenant,
    pub(crate) revocations: Revocations,
    pub(crate) sessions: Sessions,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = database().await;
        let db = connect(database.url()).await;
        let revocations = Revocations::in_process(revocation_config());
        let sessions = Sessions::new(db.clone(), revocations.clone(), SessionConfig::default()).unwrap();
        Self { database, db, tenant: a_tenant(), revocations, sessions }
    }

    /// A login that goes well.
    pub(crate) async fn open(&self, user: &str) -> OpenSession {
        let login = self.sessions.login(&self.tenant, user).await.unwrap();
        let new = NewSession::new(CLIENT).with_methods(["pwd"]).from(Device::new("Browser/1.0", None));
        self.sessions.open(&self.tenant, login, new).await.unwrap()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<OpenSession, RefreshError> {
        refresh(&self.sessions, token).await
    }

    /// A session of the superuser, which moves times and looks at locks.
    pub(crate) async fn superuser(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(self.database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Time passes for all sessions, as far as the database can tell.
    pub(crate) async fn passes(&self, time: Duration) {
        let sql = format!(
            "update shared_security.session
                set refreshed_at = refreshed_at - interval '{0} s', idle_until = idle_until - interval '{0} s',
                    expires_at = expires_at - interval '{0} s', opened_at = opened_at - interval '{0} s',
                    ended_at = ended_at - interval '{0} s'",
            time.as_secs()
        );
        self.superuser().await.batch_execute(&sql).await.unwrap();
    }

    /// How many statements wait for somebody's lock.
    pub(crate) async fn waiting(&self, client: &tokio_postgres::Client) -> i64 {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// A verified access token of the session.
    pub(crate) fn access_token(&self, session: &OpenSession) -> Verified {
        verified(&self.tenant, json!({ "sid": session.session.id, "sub": session.session.subject }))
    }
}

/// A token that was verified, with these claims; issued before anything was revoked.
pub(crate) fn verified(tenant: &AssumedTenant, changes: serde_json::Value) -> Verified {
    let claims =
        with(with(claims(), json!({ "tenant": tenant.context().tenant(), "iat": 1_700_000_000 })), changes);
    verifier_now().verify(signed(header(), claims)).unwrap()
}

pub(crate) async fn refresh(sessions: &Sessions, token: &str) -> Result<OpenSession, RefreshError> {
    sessions.refresh(&Secret::new(token), CLIENT, &Device::default()).await
}

pub(crate) fn revocation_config() -> RevocationConfig {
    RevocationConfig::new(WhenStale::Refuse)
}

pub(crate) fn a_tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test")
}

pub(crate) async fn connect(url: &str) -> Db {
    Db::connect(&shared_db::Config::new(url)).await.unwrap()
}

/// Waits for a condition, and not for ever.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the condition never came true");
}
