//! What can be permitted here, and the roles that every tenant has.

use shared_service::prelude::*;

permissions! {
    /// What a token may allow here.
    pub static MATRIX = "auth" {
        ManageUsers = "users:manage",
        ReadRoles = "roles:read",
        ManageRoles = "roles:manage",
        ManageClients = "clients:manage",
        VerifyTokens = "tokens:verify",
        ReadAudit = "audit:read",
    }
    system { Impersonate = "users:impersonate", SuspendTenants = "tenants:suspend" }
    roles {
        Member = "member": [],
        Service = "service": [VerifyTokens],
        Admin = "admin" inherits Member: [ManageUsers, ReadRoles, ReadAudit],
        Owner = "owner" inherits Admin, Service: [ManageRoles, ManageClients],
        Operator = "operator": [Impersonate, SuspendTenants],
    }
}
