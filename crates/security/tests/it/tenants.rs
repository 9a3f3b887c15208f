//! Tenants' own roles and states, in a database.

mod custom_roles;
mod escalation;
mod impersonation;
mod isolation;
mod propagation;
mod suspension;

use std::time::Duration;

use shared_core::{AssumedTenant, TenantId};
use shared_db::Db;
use shared_devkit::TestDatabase;
use shared_security::{
    Error, Grant, May, Permission, Principal, RoleRefusal, Roles, SystemScope, Tenants, TenantsConfig,
    Verifier,
};

use crate::roles::{DESK, ManageRoles};
use crate::support::{database, issuer, verifier};

/// A database of one test, a process that watches it, and a tenant.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) db: Db,
    pub(crate) tenants: Tenants,
    pub(crate) tenant: TenantId,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = database().await;
        let (db, tenants) = process(&database, TenantsConfig::default()).await;
        Self { database, db, tenants, tenant: TenantId::new() }
    }

    /// Another process on the same database.
    pub(crate) async fn neighbour(&self) -> Tenants {
        process(&self.database, TenantsConfig::default()).await.1
    }

    /// The roles of the tenant without a limit, as at its registration.
    pub(crate) fn system(&self) -> Roles {
        self.tenants.system_roles(&scope(self.tenant))
    }

    /// The roles of the tenant in the hands of an administrator with these permissions.
    pub(crate) async fn by(&self, permissions: &[&str]) -> Roles {
        let admin = principal(self.tenant, "admin:1", &[], permissions);
        self.tenants.roles(&self.admitted::<ManageRoles>(admin).await)
    }

    pub(crate) async fn admitted<P: Permission>(&self, principal: Principal) -> May<P> {
        self.tenants.admit(principal).await.unwrap().require().unwrap()
    }

    /// What a token of the tenant's user comes to now.
    pub(crate) async fn permissions(&self, user: &Principal) -> Vec<&'static str> {
        permissions(&self.tenants, user).await
    }

    /// A session of the superuser.
    pub(crate) async fn superuser(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(self.database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

async fn process(database: &TestDatabase, config: TenantsConfig) -> (Db, Tenants) {
    let db = Db::connect(&shared_db::Config::new(database.url())).await.unwrap();
    let tenants = Tenants::start(db.clone(), &DESK, config).await.unwrap();
    (db, tenants)
}

pub(crate) async fn permissions(tenants: &Tenants, user: &Principal) -> Vec<&'static str> {
    tenants.admit(user.clone()).await.unwrap().permissions().names().collect()
}

pub(crate) fn scope(tenant: TenantId) -> SystemScope {
    SystemScope::assumed(&AssumedTenant::new(tenant, "a test registers a tenant"))
}

/// Somebody with a token of now.
pub(crate) fn principal(tenant: TenantId, subject: &str, roles: &[&str], scope: &[&str]) -> Principal {
    issued(&Grant::new(tenant, subject).with_roles(roles.to_vec()).with_permissions(scope), &verifier())
}

pub(crate) fn issued(grant: &Grant, verifier: &Verifier) -> Principal {
    let token = issuer().issue(grant).unwrap();
    Principal::new(verifier.verify(token.expose()).unwrap(), &DESK, None)
}

/// Why a role was left as it was.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> RoleRefusal {
    match result {
        Err(Error::Role { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
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
