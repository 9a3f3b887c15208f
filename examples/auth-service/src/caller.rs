//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use shared_service::prelude::*;
use shared_service::security::{AuditEvent, Device};

use crate::app::App;

/// The address and the program of a caller.
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
    user_agent: String,
}

impl Caller {
    /// For the list of sessions.
    pub(crate) fn device(&self) -> Device {
        Device::new(&self.user_agent, Some(self.address))
    }

    /// Something that this caller did, for the audit log.
    pub(crate) fn did(&self, action: &'static str) -> AuditEvent {
        AuditEvent::new(action).from_address(self.address).user_agent(&self.user_agent)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let ConnectInfo(peer): &ConnectInfo<SocketAddr> =
            parts.extensions.get().ok_or_else(Problem::internal)?;
        let address = app.settings.tokens.client_address().find(peer.ip(), &parts.headers);
        let user_agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self { address, user_agent: user_agent.unwrap_or_default().to_owned() })
    }
}
