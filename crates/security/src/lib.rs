//! Who is asking, for which tenant, and what may they do: proved by types.
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
//! - An [`Issuer`] makes a signed [`Token`] from a [`Grant`]; a [`Verifier`] decides whether it is to be believed, and
//!   only it makes [`Verified`].
//! - [`permissions!`] declares what can be permitted in a service: a type for each, and a bit in a [`Matrix`].
//! - A [`Principal`] is who was verified. [`BearerLayer`] puts it among a request's extensions.
//! - [`May<P>`](May) is the proof that a principal may do `P` in its tenant. Handlers and repositories ask for it, and
//!   it is an [`InTenant`](shared_core::InTenant), which is what the doors to data take.
//!
//! # Guarantees and limits
//! - Deny by default: no token, no layer, no permission, or a permission of another service's matrix is a refusal.
//! - One algorithm, EdDSA with Ed25519; what a token's header says is compared and never decides. Of a header only
//!   `alg`, `typ`, `kid` and `crit` are read: keys and URLs in it are never used.
//! - Tokens of more than 8 KiB are refused unread. No bytes make the verifier panic, or cost more than one signature.
//! - Signing and verifying do not depend on the process-wide provider of `jsonwebtoken`, so another crate's choice of
//!   features can't break them.
//! - Keys and tokens don't show in `Debug`, in errors or in log lines. A caller learns that a token has expired, or
//!   that it is not valid, and not why; the log has the reason.
//! - A token can't be called back before it expires: keep lifetimes short. Whoever holds it is its subject: use TLS.
//! - Tokens have the form of RFC 9068 (`at+jwt`) with the claims `tenant` (a UUID) and, if bound to one, `site`; the
//!   claim `client_id` is missing, since there are no clients to name. Permissions stand in `scope`.
//!
//! # Errors
//! [`Error`] is a mistake of the program or its settings, met at start-up or while issuing. [`VerifyError`] is why a
//! token is refused, and turns into a 401 [`Problem`](shared_core::Problem) with the challenge of RFC 6750. A missing
//! permission is a 403 that names it.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `axum` | [`May<P>`](May) and [`Principal`] as extractors |

mod bearer;
mod challenge;
mod claims;
mod config;
mod cookies;
mod cors;
mod csrf;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod grant;
pub mod headers;
mod issuer;
mod key;
mod keys;
mod matrix;
mod may;
mod origin;
mod permissions;
mod principal;
mod refusal;
#[cfg(feature = "postgres")]
mod schema;
mod verifier;

pub use bearer::{Bearer, BearerLayer};
pub use config::Config;
pub use cookies::{HostCookie, SameSite};
pub use cors::{Cors, CorsLayer};
pub use csrf::{Csrf, CsrfLayer};
pub use error::{Error, VerifyError};
pub use grant::{Grant, PermissionNames};
pub use issuer::{Issuer, Token};
pub use key::{SigningKey, VerifyingKey};
pub use keys::{KeySet, Keys};
pub use matrix::{Matrix, Permission};
pub use may::May;
pub use origin::Origin;
pub use permissions::Permissions;
pub use principal::Principal;
pub use refusal::Guarded;
#[cfg(feature = "postgres")]
pub use schema::MIGRATIONS;
pub use verifier::{Verified, Verifier};
