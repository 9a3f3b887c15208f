/// What keeps tokens from being issued, or a policy from being made: a mistake of the program or its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is no private key.
    #[error(
        "not a signing key: expected an Ed25519 private key in PKCS#8 form, as PEM or its base64 alone; \
         make one with `openssl genpkey -algorithm ed25519`"
    )]
    SigningKey,
    /// A text is no public key.
    #[error(
        "not a verification key: expected an Ed25519 public key in SPKI form, as PEM or its base64 alone; \
         `openssl pkey -pubout` derives it from the private key"
    )]
    VerifyingKey,
    /// A policy that would accept more than it should, or nothing.
    #[error("tokens can't be checked without {missing}; set it")]
    #[non_exhaustive]
    IncompletePolicy {
        /// What is missing.
        missing: &'static str,
    },
    /// The key that everybody can read in this source.
    #[error("the development key is refused in profile `production`; set keys of your own")]
    DevelopmentKey,
    /// The program issues tokens, and has nothing to sign them with.
    #[error("tokens can't be issued without a signing key; set the one whose public half is among the keys")]
    NoSigningKey,
    /// Nobody who shares the settings would accept the tokens.
    #[error(
        "the public half of the signing key is not among the keys, so that its tokens would be refused; \
         add it to the keys of every service first, then sign with it"
    )]
    UnlistedSigningKey,
    /// A subject that could not be told apart, or that would spoil a log line.
    #[error("a token can't be issued for this subject; expected 1 to {max} bytes without control characters", max = shared_core::MAX_TEXT)]
    Subject,
    /// A name that no matrix can have.
    #[error("a token can't grant the permission `{name}`; expected `domain:action`, in lower case")]
    #[non_exhaustive]
    Permission {
        /// The name.
        name: String,
    },
    /// More permissions than a header can carry.
    #[error("the token would be larger than {max} bytes, which no verifier accepts; grant fewer permissions", max = crate::verifier::MAX_TOKEN)]
    TooLarge,
    /// A text is no web origin.
    #[error(
        "not an origin; expected a scheme and a host, such as https://shop.example, without a path; `http` for this machine only"
    )]
    Origin,
    /// A content security policy that contradicts itself, or could not be written into a header.
    #[error("not a content security policy: {reason}")]
    #[non_exhaustive]
    Csp {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value that no cookie can have.
    #[error(
        "not a cookie's value; expected visible ASCII without quotes, commas, semicolons and backslashes, 4096 bytes with its attributes"
    )]
    Cookie,
    /// The cryptographic library refused to sign.
    #[error("a token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// Why a token is refused. It is for the log: the caller learns from the [`Problem`](shared_core::Problem) that it
/// turns into whether the token has expired, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Larger than 8 KiB; nothing of it was looked at.
    #[error("the token is larger than {max} bytes", max = crate::verifier::MAX_TOKEN)]
    TooLarge,
    /// Not a signed token in compact form, or its header or claims are not what they should be.
    #[error("the token is malformed: {part}")]
    #[non_exhaustive]
    Malformed {
        /// What of it.
        part: &'static str,
    },
    /// Not signed with EdDSA, whatever else the header says.
    #[error("the token's algorithm is not EdDSA")]
    WrongAlgorithm,
    /// Not an access token, but perhaps one of another kind.
    #[error("the token's type is not `at+jwt`")]
    WrongType,
    /// The header asks for an extension that has to be understood.
    #[error("the token's header has critical extensions")]
    CriticalExtension,
    /// Signed with a key that was never accepted, or no longer is; or the header names none.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Not what was signed.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Issued by somebody else.
    #[error("the token's issuer is another one")]
    WrongIssuer,
    /// Issued for somebody else.
    #[error("the token's audience is another one")]
    WrongAudience,
    /// Its time is over, leeway included.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come, leeway included.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Without a tenant, or with something else in its place.
    #[error("the token names no tenant: the claim `tenant` is a UUID")]
    NoTenant,
}
