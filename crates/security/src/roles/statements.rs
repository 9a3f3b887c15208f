//! The SQL of roles, all of it within a tenant.

use shared_db::statements;
use time::OffsetDateTime;

use super::StoredRole;

statements! {
    /// Locks the tenant's row, so that changes of its roles come one after the other, and tells of it.
    pub(super) const CHANGE: Statement<(), i64> = "
        insert into shared_security.tenant (tenant_id) values ($tenant)
            on conflict (tenant_id) do update set epoch = tenant.epoch + 1
        returning epoch";
    pub(crate) const STATE: Statement<(), (i64, bool)> = "
        select epoch, suspended_at is not null from shared_security.tenant where tenant_id = $tenant";
    pub(crate) const ROLES: Statement<(i64,), StoredRole> = "
        select name, permissions, inherits, version from shared_security.role
        where tenant_id = $tenant order by name limit $1";
    pub(crate) const WITHDRAWALS: Statement<(i64,), (String, String, OffsetDateTime)> = "
        select subject, role, at from shared_security.role_withdrawal
        where tenant_id = $tenant order by at desc limit $1";
    pub(super) const CREATE: Statement<(String, Vec<String>, Vec<String>), i64> = "
        insert into shared_security.role (tenant_id, name, permissions, inherits) values ($tenant, $1, $2, $3)
        returning version";
    pub(super) const UPDATE: Statement<(String, Vec<String>, Vec<String>), i64> = "
        update shared_security.role set permissions = $2, inherits = $3, version = version + 1
        where tenant_id = $tenant and name = $1
        returning version";
    pub(super) const DELETE: Statement<(String,), ()> = "
        delete from shared_security.role where tenant_id = $tenant and name = $1";
    pub(super) const UNASSIGN_ALL: Statement<(String,), ()> = "
        delete from shared_security.role_assignment where tenant_id = $tenant and role = $1";
    pub(super) const ASSIGN: Statement<(String, String, String), ()> = "
        insert into shared_security.role_assignment (tenant_id, subject, role, assigned_by) values ($tenant, $1, $2, $3)
            on conflict (tenant_id, subject, role) do nothing";
    pub(super) const UNASSIGN: Statement<(String, String), ()> = "
        delete from shared_security.role_assignment where tenant_id = $tenant and subject = $1 and role = $2";
    pub(super) const ASSIGNED: Statement<(String, i64), String> = "
        select role from shared_security.role_assignment
        where tenant_id = $tenant and subject = $1 order by role limit $2";
    /// For a subject, or with an empty one for everybody.
    pub(super) const WITHDRAW: Statement<(String, String), ()> = "
        insert into shared_security.role_withdrawal (tenant_id, subject, role) values ($tenant, $1, $2)
            on conflict (tenant_id, subject, role) do update set at = clock_timestamp()";
    pub(super) const GIVE_BACK: Statement<(String, String), ()> = "
        delete from shared_security.role_withdrawal where tenant_id = $tenant and subject = $1 and role = $2";
    /// No token lives longer than a day.
    pub(super) const FORGET: Statement<(), ()> = "
        delete from shared_security.role_withdrawal where tenant_id = $tenant and at < now() - interval '25 hours'";
}
