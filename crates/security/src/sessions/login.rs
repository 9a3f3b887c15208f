use shared_core::TenantId;
use time::OffsetDateTime;

use crate::{Device, Error, SessionId};

/// A login that is under way. See [`Sessions::login`](crate::Sessions::login).
#[derive(Debug)]
pub struct Login {
    pub(super) tenant: TenantId,
    pub(super) subject: String,
    pub(super) epoch: i64,
    pub(super) tenant_epoch: i64,
    /// By the server's clock.
    pub(super) began_at: OffsetDateTime,
}

/// What a session is opened with.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub(super) client: String,
    pub(super) methods: Vec<String>,
    pub(super) device: Device,
    pub(super) replaces: Option<SessionId>,
}

/// Ways to authenticate that one login takes, and the length of a name: RFC 8176 lists 21, none longer than 6.
const MOST_METHODS: usize = 8;
const LONGEST_METHOD: usize = 32;

impl NewSession {
    /// A session that `client` alone may refresh: the name of the app or site.
    pub fn new(client: impl Into<String>) -> Self {
        Self { client: client.into(), methods: Vec::new(), device: Device::default(), replaces: None }
    }

    /// How the user has shown who they are, such as `["pwd", "otp"]` (RFC 8176).
    pub fn with_methods<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Where the login comes from, to show in the list of sessions.
    pub fn from(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Ends the session that the browser had before, if it is one of the same user.
    pub fn replacing(mut self, session: SessionId) -> Self {
        self.replaces = Some(session);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let method = |name: &String| name.len() <= LONGEST_METHOD && crate::claims::is_name(name);
        let what = match () {
            () if !crate::claims::is_name(&self.client) => "a client's name has 1 to 255 bytes",
            () if self.methods.len() > MOST_METHODS || !self.methods.iter().all(method) => {
                "a login has at most 8 methods, of 1 to 32 bytes each"
            }
            () => return Ok(()),
        };
        Err(Error::OutOfRange { what })
    }
}
