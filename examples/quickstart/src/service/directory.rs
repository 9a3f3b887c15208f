//! Which tenants there are. A tenant's id follows from its name, so that every run means the same tenant by it.

use sha2::{Digest, Sha256};
use shared_service::prelude::*;
use uuid::Uuid;

statements! {
    const REGISTER: Statement<(TenantId, String), ()> = "
        insert into quickstart.tenant (id, name) values ($1, $2) on conflict do nothing";
    const TENANTS: Statement<(), (TenantId, String)> = "
        select id, name from quickstart.tenant order by name limit 10000";
    const NAME: Statement<(TenantId,), String> = "
        select name from quickstart.tenant where id = $1";
}

/// The tenant with this name.
pub fn tenant_id(name: &str) -> TenantId {
    TenantId::from_uuid(derived(&["quickstart tenant", name]))
}

/// A UUID (version 8) that follows from some words.
pub(super) fn derived(words: &[&str]) -> Uuid {
    let hash = Sha256::digest(words.join("\0"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Makes a tenant known. Repeating it does nothing.
pub(crate) async fn register(db: &Db, name: &str) -> Result<TenantId, shared_service::db::Error> {
    let id = tenant_id(name);
    db.untenanted().execute(&REGISTER, (id, name)).await?;
    Ok(id)
}

/// All tenants, by name.
pub(super) async fn tenants(db: &Db) -> Result<Vec<(TenantId, String)>, shared_service::db::Error> {
    db.untenanted().all(&TENANTS, ()).await
}

/// What a tenant is called, if it is known.
pub(super) async fn name(db: &Db, tenant: TenantId) -> Result<Option<String>, shared_service::db::Error> {
    db.untenanted().opt(&NAME, (tenant,)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_keeps_its_id() {
        assert_eq!(tenant_id("serde"), tenant_id("serde"));
        assert_ne!(tenant_id("serde"), tenant_id("tokio"));
        assert_eq!(tenant_id("serde").as_uuid().get_version_num(), 8);
    }
}
