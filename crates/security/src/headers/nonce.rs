use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
#[cfg(feature = "axum")]
use shared_core::Problem;

/// The nonce of one response: 128 random bits, in base64. Write it into the `nonce` attribute of your scripts and styles.
///
/// It is among the extensions of a request where the policy asks for one, and with the feature `axum` an argument of
/// a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// A new one; nothing if the system has no randomness, which then answers 500 rather than a guessable page.
    pub(super) fn new() -> Option<Self> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).ok()?;
        Some(Self(STANDARD_NO_PAD.encode(bytes)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 500 and a line in the log on a route whose policy has no nonce.
#[cfg(feature = "axum")]
impl<S: Sync> axum_core::extract::FromRequestParts<S> for Nonce {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(
                "this route asks for a nonce, and no policy around it has one; add a `SecurityHeadersLayer`"
            );
            Problem::internal()
        })
    }
}
