//! How a request is refused: RFC 6750, section 3, in the bodies of RFC 9457.

use shared_core::Problem;

use crate::{AuditEvent, Permission, Principal, VerifyError};

const CHALLENGE: &str = "www-authenticate";

/// No credentials: the challenge says which kind is wanted, and not that an error happened.
#[cfg(feature = "axum")]
pub(crate) fn missing() -> Problem {
    Problem::unauthorized().with_detail("this needs a bearer token").with_header(CHALLENGE, "Bearer")
}

/// Credentials that can't be told apart from a mistake, such as two of them.
pub(crate) fn unclear(detail: &'static str) -> Problem {
    let challenge = format!("Bearer error=\"invalid_request\", error_description=\"{detail}\"");
    Problem::bad_request().with_detail(detail).with_header(CHALLENGE, challenge)
}

/// A valid token that does not allow it.
fn not_permitted(permission: &'static str) -> Problem {
    Problem::forbidden()
        .with_detail(format!("this needs the permission {permission}"))
        .with_header(CHALLENGE, format!("Bearer error=\"insufficient_scope\", scope=\"{permission}\""))
}

/// The same; where the service asks for a permission of a matrix that its callers are not measured by, the log says so.
pub(crate) fn missing_permission<P: Permission>(principal: &Principal) -> Problem {
    let matrix = principal.permissions().matrix();
    if !std::ptr::eq(matrix, P::SET) {
        tracing::error!(
            permission = P::NAME,
            "nobody has this permission: its matrix `{}` is not the one that the bearer layer was given, `{}`",
            P::SET.name(),
            matrix.name(),
        );
    }
    let event = AuditEvent::new("permission.denied").denied().of(principal.context());
    principal.trail().record(event.target("permission", P::NAME));
    not_permitted(P::NAME)
}

/// Whether a token has expired is all that a caller is told: that is what a client can do something about, and the
/// other reasons would guide a forger.
impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        let detail = match error {
            VerifyError::Expired => "the token has expired",
            _ => "the token is not valid",
        };
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
        Problem::unauthorized().with_detail(detail).with_header(CHALLENGE, challenge)
    }
}
