use std::net::IpAddr;

use shared_core::Id;
use time::OffsetDateTime;

/// The identity of a [`Session`]: the claim `sid` of its access tokens.
pub type SessionId = Id<Session>;

/// A user's session, as a list of them shows it. It begins with a login and is one family of refresh tokens.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "postgres", derive(shared_db::Row))]
pub struct Session {
    /// Its identity; a new one with every login.
    pub id: SessionId,
    /// Whose it is.
    pub subject: String,
    /// The client (the app, the site) that it was opened for, and that alone may refresh it.
    pub client: String,
    /// How the user has shown who they are, in the words of RFC 8176 (`pwd`, `otp`, ..): the claim `amr`.
    pub methods: Vec<String>,
    /// The program that opened or last refreshed it, as it called itself.
    pub user_agent: String,
    /// From where that was.
    pub address: Option<IpAddr>,
    /// When the user logged in, by the server's clock: the claim `auth_time`.
    pub opened_at: OffsetDateTime,
    /// When it was last refreshed.
    pub refreshed_at: OffsetDateTime,
    /// When it ends if nobody refreshes it.
    pub idle_until: OffsetDateTime,
    /// When it ends in any case.
    pub expires_at: OffsetDateTime,
}
