/// What keeps tokens from being issued, or a policy from being made: a mistake of the program or its settings. And what goes wrong with
/// the stores.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is no private key.
    #[error(
        "not a signing key: expected an Ed25519, P-256 or RSA private key (2048 bits or more) in PKCS#8 form, as PEM or \
         its base64 alone; make one with `openssl genpkey -algorithm ed25519`"
    )]
    SigningKey,
    /// A text is no public key.
    #[error(
        "not a verification key: expected an Ed25519, P-256 or RSA public key (2048 bits or more) in SPKI form, as PEM \
         or its base64 alone; `openssl pkey -pubout` derives it from the private key"
    )]
    VerifyingKey,
    /// A text is no public key in JSON that tokens can be verified with.
    #[error(
        "not a JWK to verify tokens with: expected a public key for EdDSA (Ed25519), ES256 or RS256 (2048 bits or more)"
    )]
    Jwk,
    /// A name is none of an algorithm.
    #[error("not an algorithm for tokens; expected EdDSA, ES256, RS256 or HS256")]
    Algorithm,
    /// A secret that is easier to guess than its hash is to break.
    #[error(
        "a secret for HS256 needs at least 32 bytes drawn at random; make one with `openssl rand -base64 32`"
    )]
    ShortSecret,
    /// The cryptographic library made no key.
    #[error("a key could not be generated; see whether the system has random numbers to give")]
    Generate,
    /// A text is no master key.
    #[error(
        "not a master key: expected VERSION:BASE64 with 32 bytes, such as `1:` and what `openssl rand -base64 32` prints"
    )]
    MasterKey,
    /// Nothing could be sealed, or nobody knows with what.
    #[error(
        "values can't be sealed without a master key, or with two of one version; set each once, with a version of its own"
    )]
    MasterKeys,
    /// A value can't be encrypted.
    #[error(
        "a value could not be sealed: it is a secret of this program alone, or the cryptographic library refused"
    )]
    Sealing,
    /// A value was encrypted under a master key that is not among those of the settings.
    #[error(
        "a value was sealed under master key version {version}, which is not among the master keys; add it again"
    )]
    #[non_exhaustive]
    UnknownMasterKey {
        /// The version.
        version: u32,
    },
    /// A value can't be decrypted.
    #[error(
        "a sealed value does not open: it was changed, or moved from another row, or its master key is another one"
    )]
    Unsealable,
    /// A set of keys that can't be used.
    #[error("the JWK Set can't be used: {reason}; take it from its issuer again")]
    #[non_exhaustive]
    JwkSet {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An address from which keys can't be taken.
    #[error(
        "keys can't be fetched from this address; expected https, or http to this machine, without a login in it"
    )]
    JwksUrl,
    /// An issuer's keys could not be read.
    #[error(
        "the keys of an issuer could not be fetched: {reason}; see whether its address is right and answers"
    )]
    #[non_exhaustive]
    JwksFetch {
        /// What went wrong.
        reason: &'static str,
        /// What the HTTP client said, without the address.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A provider does not describe itself as the issuer that it was taken for.
    #[error(
        "the provider's description of itself is unreadable, or names another issuer; write the issuer as the provider does"
    )]
    Discovery,
    /// A key ring can't work like that.
    #[error("the key ring can't work with these settings: {reason}")]
    #[non_exhaustive]
    KeyRing {
        /// What is wrong.
        reason: &'static str,
    },
    /// A key that the ring does not have, or has revoked.
    #[error("the key ring has no such key; list its keys, and see whether it was revoked before")]
    NoSuchKey,
    /// The database refused, or could not be reached.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Database(#[from] shared_db::Error),
    /// A policy that would accept more than it should, or nothing.
    #[error("tokens can't be checked without {missing}; set it")]
    #[non_exhaustive]
    IncompletePolicy {
        /// What is missing.
        missing: &'static str,
    },
    /// Keys of one policy that are not of one kind.
    #[error("the keys have several algorithms; give each algorithm a policy of its own")]
    SeveralAlgorithms,
    /// More issuers than a token should be compared with.
    #[error("a verifier has at most {max} policies; believe fewer issuers, or use several verifiers")]
    #[non_exhaustive]
    ManyPolicies {
        /// How many it can have.
        max: usize,
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
    /// A role, client, actor or method that could not be told apart, or that would spoil a log line.
    #[error("a token can't carry this claim `{claim}`; expected 1 to {max} bytes without control characters", max = shared_core::MAX_TEXT)]
    #[non_exhaustive]
    Claim {
        /// The name of the claim.
        claim: &'static str,
    },
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
    /// Policies that Cedar can't read.
    #[cfg(feature = "cedar")]
    #[error("the policies can't be read: {reason}")]
    #[non_exhaustive]
    Policies {
        /// What is wrong with them.
        reason: String,
    },
    /// What is done with the power of the system is done for a reason.
    #[error("acting with the power of the system needs a reason of 1 to 1000 bytes on one line; give one")]
    Reason,
    /// Somebody who acts in another one's place wants the power of the system.
    #[error("who acts in another one's place has no power of the system; act in your own name")]
    Delegated,
    /// Somebody with a permission of the system can't be impersonated.
    #[error("nobody acts as `{subject}`, who has the system's permission `{permission}`")]
    #[non_exhaustive]
    NotImpersonated {
        /// Who it is.
        subject: String,
        /// One permission that it would hand over.
        permission: &'static str,
    },
    /// A role can't become what it was to be, or can't be handed out.
    #[cfg(feature = "postgres")]
    #[error("the role `{role}` was left as it is: {refusal}")]
    #[non_exhaustive]
    Role {
        /// Its name.
        role: String,
        /// Why.
        refusal: crate::RoleRefusal,
    },
    /// The settings can't work.
    #[cfg(feature = "postgres")]
    #[error("tenants can't be watched: {0}")]
    Tenants(&'static str),
    /// A setting or an argument is outside of what is allowed.
    #[error("out of range: {what}")]
    #[non_exhaustive]
    OutOfRange {
        /// Which limit.
        what: &'static str,
    },
    /// A session can't be opened by this login; the user has to log in again, if they may.
    #[error("the login was refused: {reason}")]
    #[non_exhaustive]
    LoginRefused {
        /// Why, for the log.
        reason: &'static str,
    },
    /// Too many logins have failed, of this account or from this address.
    #[error("too many logins have failed; the next one is possible in {wait:?}")]
    #[non_exhaustive]
    LoginDelayed {
        /// How long from now.
        wait: std::time::Duration,
    },
    /// A password that must not be set.
    #[error("the password can't be set: {0}")]
    WeakPassword(crate::Weakness),
    /// What is stored is no hash of a password in the form of PHC strings, or asks for more than this program gives it.
    #[error(
        "the stored hash of a password can't be used: it is no Argon2 hash, or its costs are out of range"
    )]
    PasswordHash,
    /// More passwords are to be hashed at once than wait in line.
    #[error("{waiting} passwords wait to be hashed already; try again soon")]
    #[non_exhaustive]
    PasswordsBusy {
        /// How many wait at most.
        waiting: usize,
    },
    /// The source of randomness, or a cipher, gave nothing.
    #[error("the cryptographic library failed at a random number or a cipher")]
    Random,
    /// An audit event may not be in the log: what depends on that must not go on.
    #[cfg(feature = "postgres")]
    #[error("the audit event may not be recorded: {0}; don't do what it was to tell of")]
    NotRecorded(&'static str),
    /// A transaction has recorded as many audit events as one may.
    #[cfg(feature = "postgres")]
    #[error("a transaction has room for {most} audit events; record in smaller ones, or one event for all")]
    #[non_exhaustive]
    TooManyEvents {
        /// How many there may be.
        most: usize,
    },
    /// Sealing this audit log could lose entries.
    #[cfg(feature = "postgres")]
    #[error("the audit log can't be sealed safely here: {0}")]
    Uncut(String),
    /// What was to be compared with is no exported root.
    #[cfg(feature = "postgres")]
    #[error("line {line} is no root of an audit log as `roots` writes it")]
    #[non_exhaustive]
    NoRoot {
        /// The line, from 1.
        line: usize,
    },
    /// An export could not be written out.
    #[cfg(feature = "postgres")]
    #[error("the audit log could not be written out")]
    Output(#[source] std::io::Error),
    /// A limiter that can't be built, or a limit that can't be kept.
    #[error("the limit `{rule}` can't be kept: {reason}")]
    #[non_exhaustive]
    Limits {
        /// The name of the rule; empty where it is about all of them.
        rule: String,
        /// Why not, and what would do.
        reason: &'static str,
    },
    /// The cryptographic library refused to sign.
    #[error("a token could not be signed")]
    Signing,
}

impl Error {
    pub(crate) fn limits(rule: &str, reason: &'static str) -> Self {
        Self::Limits { rule: rule.to_owned(), reason }
    }
}

#[cfg(feature = "postgres")]
impl Error {
    /// As [`Uncut`](Self::Uncut), where the database says so.
    pub(crate) fn uncut(error: shared_db::Error) -> Self {
        match error {
            shared_db::Error::Uncut(reason) => Self::Uncut(reason),
            error => error.into(),
        }
    }
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
    /// Not signed with the policy's algorithm, or its key is for another one.
    #[error("the token's algorithm is another one")]
    WrongAlgorithm,
    /// Of another kind: an ID token, for one, is no access token.
    #[error("the token's type is another one")]
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
    /// For a tenant that its issuer may not speak for.
    #[error("the token's issuer may not speak for its tenant")]
    ForeignTenant,
    /// It was called back, or its session, subject or tenant was.
    #[error("the token was revoked")]
    Revoked,
    /// It lives longer than revocations are remembered, so that one that was called back would be good again.
    #[error("the token lives longer than revocations are kept; issue shorter ones, or raise `longest_token`")]
    OutlivesRevocations,
}

impl VerifyError {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed { .. } => "malformed",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongType => "wrong_type",
            Self::CriticalExtension => "critical_extension",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NoTenant => "no_tenant",
            Self::ForeignTenant => "foreign_tenant",
            Self::Revoked => "revoked",
            Self::OutlivesRevocations => "outlives_revocations",
        }
    }

    /// How far verification got: another algorithm or type, another key, or to the key.
    pub(crate) fn progress(self) -> u8 {
        match self {
            Self::WrongAlgorithm | Self::WrongType => 0,
            Self::UnknownKey => 1,
            _ => 2,
        }
    }
}

impl From<Error> for shared_core::Problem {
    /// What a caller can mend is said; all else is the service's own fault.
    fn from(error: Error) -> Self {
        match error {
            Error::Reason => Self::unprocessable_content().with_detail(error.to_string()),
            Error::Delegated | Error::NotImpersonated { .. } => {
                Self::forbidden().with_detail(error.to_string())
            }
            #[cfg(feature = "postgres")]
            Error::Role { ref refusal, .. } => refusal.problem().with_detail(error.to_string()),
            #[cfg(feature = "postgres")]
            Error::Database(error) => error.into(),
            #[cfg(feature = "postgres")]
            Error::NotRecorded(_) => {
                tracing::error!(%error, "a request failed at its audit event");
                Self::unavailable().with_header("retry-after", "1")
            }
            Error::LoginDelayed { wait } => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Self::too_many_requests().with_header("retry-after", seconds.to_string())
            }
            Error::PasswordsBusy { .. } => Self::unavailable().with_header("retry-after", "1"),
            error => {
                tracing::error!(%error, "a request failed at its security");
                Self::internal()
            }
        }
    }
}

/// Why a refresh token was refused. It is for the log: to the caller all are the same
/// [`Problem`](shared_core::Problem), a 401 that says to log in again.
#[cfg(feature = "postgres")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// No refresh token, or one of a session that is not known, or no longer.
    #[error("no session has this refresh token")]
    Unknown,
    /// The session was ended before.
    #[error("the session of this refresh token was ended")]
    Ended,
    /// The session was idle for too long, or is too old.
    #[error("the session of this refresh token has expired")]
    Expired,
    /// The session was opened for another client; it has been ended.
    #[error("another client has shown this refresh token: its session was ended")]
    OtherClient,
    /// The token was used before; its session has been ended.
    #[error("this refresh token was used before: its session was ended")]
    Reused,
    /// It was not refused, but could not be looked at, or its answer got lost: ask again with the same token.
    #[error(transparent)]
    Store(#[from] Error),
}

#[cfg(feature = "postgres")]
impl From<shared_db::Error> for RefreshError {
    fn from(error: shared_db::Error) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(feature = "postgres")]
impl From<RefreshError> for shared_core::Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Store(Error::Database(error)) => error.into(),
            RefreshError::Store(error) => {
                tracing::error!(%error, "a refresh failed");
                Self::internal()
            }
            _ => Self::unauthorized().with_detail("the refresh token is not valid; log in again"),
        }
    }
}
