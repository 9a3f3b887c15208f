//! Accounts: a person in a tenant, by e-mail address and password.

use shared_service::prelude::*;

/// An account. Its id is the subject of its tokens.
#[derive(Debug, Serialize, Row)]
pub(crate) struct Account {
    /// Its identity.
    pub(crate) id: Id<Account>,
    /// The e-mail address, in lower case.
    pub(crate) email: String,
    /// When it was made, by the server's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
}

statements! {
    pub(crate) const FOUND: Statement<(String,), ()> = "
        insert into auth.tenant (tenant_id, name) values ($tenant, $1)";
    pub(crate) const TENANT: Statement<(), String> = "
        select name from auth.tenant where tenant_id = $tenant";
    /// Nothing where the address is taken.
    pub(crate) const INSERT: Statement<(Id<Account>, String, String), Account> = "
        insert into auth.account (tenant_id, id, email, password_hash) values ($tenant, $1, $2, $3)
            on conflict (tenant_id, email) do nothing
        returning id, email, created_at";
    pub(crate) const BY_ID: Statement<(Id<Account>,), Account> = "
        select id, email, created_at from auth.account where tenant_id = $tenant and id = $1";
    pub(crate) const HASH: Statement<(String,), (Id<Account>, String)> = "
        select id, password_hash from auth.account where tenant_id = $tenant and email = $1";
    pub(crate) const SET_HASH: Statement<(Id<Account>, String), ()> = "
        update auth.account set password_hash = $2 where tenant_id = $tenant and id = $1";
}

/// The one spelling of an address.
pub(crate) fn email(text: &str) -> String {
    text.trim().to_lowercase()
}
