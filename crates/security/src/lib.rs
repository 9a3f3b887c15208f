//! Who is asking, for which tenant, what may they do, and how often: proved by types.
//!
//! ```
//! use axum::{Router, routing::post};
//! use shared_core::{InTenant, schema::from_pairs};
//! use shared_security::{BearerLayer, Config, Grant, May, permissions};
//!
//! permissions! { pub static MATRIX = "notes" { ReadNotes = "notes:read", WriteNotes = "notes:write" } }
//!
//! // Runs only for a verified token with `notes:write`; the tenant comes from that token.
//! async fn create(may: May<WriteNotes>) -> String {
//!     format!("{} writes for tenant {}", may.subject(), may.context().tenant())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config: Config = from_pairs([]).unwrap(); // in a service: part of its settings
//! let app: Router = Router::new()
//!     .route("/notes", post(create))
//!     .layer(BearerLayer::new(config.verifier()?, &MATRIX));
//!
//! # let tenant = shared_core::TenantId::new();
//! let token = config.issuer()?.issue(&Grant::new(tenant, "user:7").with_permissions((ReadNotes, WriteNotes)))?;
//! # let _ = (app, token);
//! # Ok(())
//! # }
//! ```
//!
//! # The ideas
//! **Who.** An [`Issuer`] makes a signed [`Token`] from a [`Grant`]; a [`Verifier`] decides by its [`Policy`] whether it is believed, and
//! only it makes [`Verified`]. [`BearerLayer`] turns that into a [`Principal`] among a request's extensions. [`Keys`] come from settings, from a
//! `KeyRing` that rotates by itself, or from the JWKS of another issuer. `Sessions` are opened by a login and continued by refresh tokens,
//! each used once; what ends one ends its access tokens by its [`Revocations`]. `Passwords` judges passwords, and a `LoginGuard` slows down who
//! guesses them.
//!
//! **For which tenant.** The one in the token. A tenant that a caller names is a [`ClaimedTenant`]: compared, and never trusted.
//! [`SystemScope`] is the way into another tenant, with a reason, and audited. `Tenants` knows who is suspended.
//!
//! **What they may do.** [`permissions!`] declares it: a type for each permission, and a bit in a [`Matrix`]. [`May<P>`](May) is the
//! proof that a principal may do `P` in its tenant. Handlers and repositories ask for it, and it is an [`InTenant`](shared_core::InTenant),
//! which is what the doors to data take. [`Proof<P>`](Proof) is the same, borrowed. A [`Condition`] is a rule on the data beside it,
//! [`Principal::explain`] says why, `Roles` are a tenant's own, and an [`Authorizer`] is another engine that decides.
//!
//! **How often.** A [`Limiter`] decides by [`Rule`]s over the parts of a [`Key`], in process or over Redis or Postgres; [`LimitLayer`] does
//! it for HTTP, and [`ClientAddress`] says whose address a request has behind proxies.
//!
//! **And around it.** [`headers`], [`Cors`], [`HostCookie`] and [`CsrfLayer`] are for browsers. The `audit` log remembers who did
//! what, and shows whether anybody has changed that since: what takes `with_audit` writes its denials and logins there by itself.
//!
//! `docs/security.md` has the reasons, a threat model, and a table of OWASP ASVS 5.0 with the test of each line.
//!
//! # Guarantees and limits
//! - Deny by default: no token, no layer, no permission, or a permission of another service's matrix is a refusal.
//! - One algorithm for each policy, EdDSA unless said otherwise. What a token's header says is compared and never decides: keys and URLs
//!   that it brings along, critical extensions, and names that come twice are refused.
//! - Tokens of more than 8 KiB are refused unread. No bytes make the verifier panic, or cost more than one signature for each policy that
//!   has their key.
//! - A token that was verified is remembered by its SHA-256, in a bounded cache of that verifier alone; its times, the keys and the
//!   [`Revocations`] are looked at again at each use. What is revoked is refused at once in this process and within a second in others,
//!   while their store can be read; [`WhenStale`] says what happens else.
//! - Whoever holds a token is its subject: use TLS, and keep lifetimes short.
//! - A `KeyRing` publishes keys before they sign, and lets them verify until their last token is over; a revoked key is gone everywhere within a
//!   second, where the database can be reached. The keys of another issuer come from a `JwksClient`, which forgers can't make ask more than once
//!   in 30 seconds.
//! - A refresh token has one successor, however often and in parallel it is shown; shown again after the grace window it ends its session.
//!   Inside the window a thief gets what the client gets. Nothing of it is stored but hashes, and the successor under a key that its holder alone
//!   can derive.
//! - A login fails in the same time, by the same work, whether the user exists or not. What the application does besides is its own.
//! - Limits are decided together or not at all, by the store's own clock, within a bounded memory; keys that find no room share one
//!   quota, so that none of them comes back with a fresh one. No forwarded address is read unless its proxies are declared.
//! - What is sealed in the audit log can't be altered unseen. Its last second is not sealed yet, and what was not exported can be made anew by
//!   the database's owner.
//! - Keys, passwords and tokens don't show in `Debug`, in errors, in log lines or in the audit log. A caller learns that a token has expired,
//!   or that it is not valid, and not why.
//! - Signing and verifying do not depend on the process-wide provider of `jsonwebtoken`, so another crate's features can't break them.
//!
//! # Errors
//! [`Error`] is a mistake of the program or its settings, or a store that fails. [`VerifyError`] is why a token is refused, and turns into a
//! 401 [`Problem`](shared_core::Problem) with the challenge of RFC 6750; `RefreshError` is the same for refresh tokens. A missing permission is a
//! 403 that names it, another tenant's thing a 404, and a limit a 429.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `axum` | [`May<P>`](May), [`Principal`] and [`headers::Nonce`] as extractors, `SameTenant`, and [`Jwks`] as a service |
//! | `postgres` | key ring, sessions, revocations of several instances, login guard, tenants' own roles, suspended tenants, limits, `audit` |
//! | `redis` | revocations and limits over Redis |
//! | `passwords` | `Passwords` |
//! | `jwks` | the keys of other issuers, by their JWKS |
//! | `cedar` | decisions by Cedar policies |

#[cfg(feature = "postgres")]
pub mod audit;
mod audit_event;
mod authorizer;
mod bearer;
mod challenge;
mod claims;
mod client_address;
mod compact;
mod condition;
mod config;
mod cookies;
mod cors;
mod csrf;
mod error;
mod explain;
#[cfg(feature = "axum")]
mod extract;
mod grant;
mod header;
pub mod headers;
mod held;
mod issuer;
mod json;
mod jwks;
#[cfg(feature = "jwks")]
mod jwks_client;
mod key;
#[cfg(feature = "postgres")]
mod key_ring;
mod keys;
mod limits;
#[cfg(feature = "postgres")]
mod login_guard;
mod matrix;
mod may;
mod metrics;
mod origin;
#[cfg(feature = "passwords")]
mod passwords;
mod permissions;
mod policy;
mod principal;
mod proof;
#[cfg(feature = "postgres")]
mod prune;
mod refusal;
mod revocations;
#[cfg(feature = "postgres")]
mod roles;
#[cfg(feature = "postgres")]
mod schema;
mod sealed;
mod session;
#[cfg(feature = "postgres")]
mod sessions;
mod system_scope;
mod tenancy;
#[cfg(feature = "postgres")]
mod tenants;
mod token_cache;
mod trail;
#[cfg(feature = "postgres")]
mod upkeep;
mod verified;
mod verifier;
mod weakness;

// Tokens.
pub use bearer::{Bearer, BearerFuture, BearerLayer};
pub use config::Config;
#[cfg(feature = "postgres")]
pub use error::RefreshError;
pub use error::{Error, VerifyError};
pub use grant::{Grant, PermissionNames};
pub use issuer::{Issuer, Token};
pub use policy::{Policy, TokenType};
pub use principal::Principal;
pub use verified::Verified;
pub use verifier::Verifier;

// Keys.
pub use config::{IssuerKeys, JwksConfig, KeyRingConfig};
pub use jwks::Jwks;
#[cfg(feature = "jwks")]
pub use jwks_client::{JwksClient, RemoteIssuer};
pub use key::{Algorithm, SigningKey, VerifyingKey};
#[cfg(feature = "postgres")]
pub use key_ring::{KeyRing, KeyState, KeyStatus};
pub use keys::{KeySet, Keys, SigningKeys};
pub use sealed::{MasterKey, Place, Sealable, Sealed, Sealer};

// Logins.
#[cfg(feature = "postgres")]
pub use login_guard::{LoginAttempt, LoginGuard};
#[cfg(feature = "passwords")]
pub use passwords::{PasswordConfig, Passwords, Verdict};
#[cfg(feature = "postgres")]
pub use revocations::RevocationWorker;
pub use revocations::{Revocation, RevocationConfig, Revocations, WhenStale};
pub use session::{Session, SessionId};
#[cfg(feature = "postgres")]
pub use sessions::{Device, Login, NewSession, OpenSession, RefreshToken, SessionConfig, Sessions};
pub use weakness::Weakness;

// Permissions and tenants.
#[cfg(feature = "cedar")]
pub use authorizer::Cedar;
pub use authorizer::{Authorizer, Question, Rbac, Resource, Undecided};
pub use condition::Condition;
pub use explain::{Because, Explanation};
pub use matrix::{BuiltInRole, Matrix, Permission, Role, SystemPermission};
pub use may::May;
pub use permissions::Permissions;
pub use proof::Proof;
#[cfg(feature = "postgres")]
pub use roles::{RoleDefinition, RoleRefusal, Roles, StoredRole};
pub use system_scope::SystemScope;
pub use tenancy::ClaimedTenant;
#[cfg(feature = "axum")]
pub use tenancy::SameTenant;
#[cfg(feature = "postgres")]
pub use tenants::{Admitting, Tenants, TenantsConfig, TenantsLayer};

// How often.
pub use client_address::{ClientAddress, ForwardedBy};
#[cfg(feature = "postgres")]
pub use limits::PostgresLimits;
#[cfg(feature = "redis")]
pub use limits::RedisLimits;
pub use limits::{
    By, Decision, InProcess, Key, Limit, LimitLayer, LimitStore, Limited, Limiter, Monotonic, OnOutage, Rule,
    Standing, Whose,
};

// Browsers.
pub use cookies::{HostCookie, SameSite};
pub use cors::{Cors, CorsLayer};
pub use csrf::{Csrf, CsrfLayer};
pub use origin::Origin;

// The log, and the tables.
#[cfg(feature = "postgres")]
pub use audit::Audit;
pub use audit_event::AuditEvent;
#[cfg(feature = "postgres")]
pub use prune::{Pruned, prune};
pub use refusal::Guarded;
#[cfg(feature = "postgres")]
pub use schema::MIGRATIONS;
#[cfg(feature = "postgres")]
pub use upkeep::Upkeep;

/// What a program that records in transactions imports: `tx.audit(..)`.
#[cfg(feature = "postgres")]
pub mod prelude {
    pub use crate::audit::AuditTx as _;
}

/// The guide, whose programs are compiled with the tests.
#[cfg(all(doctest, feature = "axum", feature = "postgres", feature = "passwords"))]
#[doc = include_str!("../../../docs/security.md")]
struct Guide;
