//! The roles of a tenant, and who has them. Nobody deals with what he does not have himself; the library sees to it.

use axum::http::StatusCode;
use shared_service::prelude::*;
use shared_service::security::{RoleDefinition, StoredRole};

use crate::account::{Account, BY_ID};
use crate::app::App;
use crate::permissions::{MATRIX, ManageRoles, ManageUsers, ReadRoles};

/// The roles that there are.
#[derive(Debug, Serialize)]
pub(crate) struct AllRoles {
    /// Those that every tenant has.
    built_in: Vec<&'static str>,
    /// The tenant's own.
    own: Vec<StoredRole>,
    /// What a role can grant.
    permissions: &'static [&'static str],
}

/// A role as it is to be.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    #[validate(length(min = 1, max = 63))]
    name: String,
    #[serde(default)]
    #[validate(length(max = 100))]
    permissions: Vec<String>,
    #[serde(default)]
    #[validate(length(max = 16))]
    inherits: Vec<String>,
}

/// Another content for a role that is at this version.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedRole {
    version: i64,
    #[serde(default)]
    #[validate(length(max = 100))]
    permissions: Vec<String>,
    #[serde(default)]
    #[validate(length(max = 16))]
    inherits: Vec<String>,
}

/// The version that a role is at.
#[derive(Debug, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    version: i64,
}

pub(crate) async fn list(may: May<ReadRoles>, State(app): State<App>) -> Result<Json<AllRoles>, Problem> {
    let own = app.tenants.roles(&may).list().await?;
    let built_in = MATRIX.roles().iter().map(|role| role.name()).collect();
    Ok(Json(AllRoles { built_in, own, permissions: MATRIX.permissions() }))
}

pub(crate) async fn create(
    may: May<ManageRoles>,
    State(app): State<App>,
    Valid(Json(new)): Valid<Json<NewRole>>,
) -> Result<Created<Version>, Problem> {
    let role = RoleDefinition { name: new.name, permissions: new.permissions, inherits: new.inherits };
    app.tenants.roles(&may).create(&role).await?;
    Ok(Created(Version { version: 1 }))
}

pub(crate) async fn change(
    may: May<ManageRoles>,
    State(app): State<App>,
    Path(name): Path<String>,
    Valid(Json(new)): Valid<Json<ChangedRole>>,
) -> Result<Json<Version>, Problem> {
    let role = RoleDefinition { name, permissions: new.permissions, inherits: new.inherits };
    let version = app.tenants.roles(&may).change(&role, new.version).await?;
    Ok(Json(Version { version }))
}

pub(crate) async fn remove(
    may: May<ManageRoles>,
    State(app): State<App>,
    Path(name): Path<String>,
    Query(Version { version }): Query<Version>,
) -> Result<StatusCode, Problem> {
    app.tenants.roles(&may).delete(&name, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn assign(
    may: May<ManageUsers>,
    State(app): State<App>,
    Path((user, role)): Path<(Id<Account>, String)>,
) -> Result<StatusCode, Problem> {
    find(&app, &may, user).await?;
    app.tenants.roles(&may).assign(&user.to_string(), &role).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn withdraw(
    may: May<ManageUsers>,
    State(app): State<App>,
    Path((user, role)): Path<(Id<Account>, String)>,
) -> Result<StatusCode, Problem> {
    find(&app, &may, user).await?;
    app.tenants.roles(&may).withdraw(&user.to_string(), &role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another tenant's account is not there.
async fn find(app: &App, may: &May<ManageUsers>, user: Id<Account>) -> Result<Account, Problem> {
    app.db.tenant(may).opt(&BY_ID, (user,)).await?.ok_or_else(Problem::not_found)
}
