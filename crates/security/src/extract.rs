//! Handlers that ask for a [`May`] or a [`Principal`].

use axum_core::extract::FromRequestParts;
use http::request::Parts;
use shared_core::Problem;

use crate::bearer::Checked;
use crate::{May, Permission, Principal};

/// 401 without a token. Without a [`BearerLayer`](crate::BearerLayer) around the route, which is a mistake of the
/// program, 500 and a line in the log.
impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match (parts.extensions.get::<Principal>(), parts.extensions.get::<Checked>()) {
            (Some(principal), _) => Ok(principal.clone()),
            (None, Some(checked)) => Err(checked.without_token(parts.extensions.get())),
            (None, None) => {
                tracing::error!(
                    "this route asks who is calling and has no bearer layer around it; add `BearerLayer`"
                );
                Err(Problem::internal())
            }
        }
    }
}

/// 401 without a token, 403 without the permission, which it names.
impl<S: Sync, P: Permission> FromRequestParts<S> for May<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Principal::from_request_parts(parts, state).await?.require()
    }
}
