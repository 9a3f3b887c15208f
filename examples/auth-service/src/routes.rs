//! All routes, in one table: the router is made of it, and so is the test that compares it with `openapi.json`.

use axum::routing::MethodRouter;
use shared_service::prelude::*;
use shared_service::security::Cors;

use crate::app::App;
use crate::{
    audit_log, check, client, discovery, introspection, invitation, login, me, operators, register, roles,
    sessions, tokens,
};

/// One operation.
pub struct Route {
    /// The method, in lower case as OpenAPI has it.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    guard: Guarded,
    handler: fn() -> MethodRouter<App>,
}

/// What stands before a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guarded {
    /// Nothing: the document is for everybody, and the same for all.
    Public,
    /// A limit by address, for all of them together.
    Limited,
    /// A token: its handler asks for it.
    Token,
}

use Guarded::{Limited, Public, Token};

/// All of them. What begins with `/api/auth/` is also at `/auth/`.
pub const ROUTES: &[Route] = &[
    Route::new(Public, "get", "/.well-known/jwks.json", || get(discovery::jwks)),
    Route::new(Public, "get", "/.well-known/openid-configuration", || get(discovery::configuration)),
    Route::new(Public, "get", "/api/auth/jwks", || get(discovery::jwks)),
    Route::new(Public, "get", "/api/auth/openapi.json", || get(discovery::openapi)),
    Route::new(Limited, "post", "/api/auth/register", || post(register::register)),
    Route::new(Limited, "post", "/api/auth/login", || post(login::login)),
    Route::new(Limited, "post", "/api/auth/refresh", || post(tokens::refresh)),
    Route::new(Limited, "post", "/api/auth/token", || post(client::token)),
    Route::new(Token, "post", "/api/auth/logout", || post(sessions::logout)),
    Route::new(Token, "post", "/api/auth/verify", || post(introspection::verify)),
    Route::new(Token, "get", "/api/auth/me", || get(me::me)),
    Route::new(Token, "get", "/api/auth/user", || get(me::me)),
    Route::new(Token, "put", "/api/auth/me/password", || put(me::set_password)),
    Route::new(Token, "get", "/api/auth/sessions", || get(sessions::list)),
    Route::new(Token, "delete", "/api/auth/sessions", || delete(sessions::end_all)),
    Route::new(Token, "delete", "/api/auth/sessions/{id}", || delete(sessions::end)),
    Route::new(Token, "post", "/api/auth/invitations", || post(invitation::invite)),
    Route::new(Token, "get", "/api/auth/roles", || get(roles::list)),
    Route::new(Token, "post", "/api/auth/roles", || post(roles::create)),
    Route::new(Token, "put", "/api/auth/roles/{name}", || put(roles::change)),
    Route::new(Token, "delete", "/api/auth/roles/{name}", || delete(roles::remove)),
    Route::new(Token, "put", "/api/auth/users/{id}/roles/{role}", || put(roles::assign)),
    Route::new(Token, "delete", "/api/auth/users/{id}/roles/{role}", || delete(roles::withdraw)),
    Route::new(Token, "post", "/api/auth/users/{id}/impersonate", || post(operators::impersonate)),
    Route::new(Token, "put", "/api/auth/tenants/{id}/suspension", || put(operators::suspend)),
    Route::new(Token, "delete", "/api/auth/tenants/{id}/suspension", || delete(operators::reactivate)),
    Route::new(Token, "post", "/api/auth/clients", || post(client::register)),
    Route::new(Token, "delete", "/api/auth/clients/{id}", || delete(client::remove)),
    Route::new(Token, "get", "/api/auth/audit", || get(audit_log::read)),
    Route::new(Token, "post", "/api/permissions/check", || post(check::check)),
];

impl Route {
    const fn new(
        guard: Guarded,
        method: &'static str,
        path: &'static str,
        handler: fn() -> MethodRouter<App>,
    ) -> Self {
        Self { method, path, guard, handler }
    }

    /// Where it is: at its path, and at its alias.
    fn paths(&self) -> impl Iterator<Item = &'static str> {
        let alias = self.path.strip_prefix("/api").filter(|alias| alias.starts_with("/auth/"));
        [self.path].into_iter().chain(alias)
    }
}

/// Documents, for every page.
pub(crate) fn documents() -> Router<App> {
    routes(Public).layer(Cors::public())
}

/// Those that ask for a token.
pub(crate) fn guarded() -> Router<App> {
    routes(Token)
}

/// Those that ask for credentials. They are public: a client whose access token is over shows it with its refresh token all the same.
pub(crate) fn limited() -> Router<App> {
    routes(Limited)
}

fn routes(guarded: Guarded) -> Router<App> {
    ROUTES.iter().filter(|route| route.guard == guarded).fold(Router::new(), |router, route| {
        route.paths().fold(router, |router, path| router.route(path, (route.handler)()))
    })
}
