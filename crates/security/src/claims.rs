//! What stands in a token: the profile of RFC 9068 for access tokens, with the tenant.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use shared_core::{Id, MAX_TEXT, Site, TenantId};

use crate::SessionId;
use crate::json::{Members, Object, Text, once};

/// The claims of a token whose signature was right, each of its type if it is there.
#[derive(Default)]
pub(crate) struct Claims<'t> {
    pub(crate) iss: Option<Text<'t>>,
    pub(crate) sub: Option<Text<'t>>,
    pub(crate) aud: Option<Audience<'t>>,
    pub(crate) exp: Option<u64>,
    pub(crate) iat: Option<u64>,
    pub(crate) nbf: Option<u64>,
    pub(crate) jti: Option<Text<'t>>,
    pub(crate) tenant: Option<Text<'t>>,
    pub(crate) site: Option<Text<'t>>,
    pub(crate) scope: Option<Text<'t>>,
    pub(crate) roles: Option<Vec<Text<'t>>>,
    pub(crate) client_id: Option<Text<'t>>,
    pub(crate) sid: Option<Text<'t>>,
    pub(crate) auth_time: Option<u64>,
    pub(crate) amr: Option<Vec<Text<'t>>>,
    pub(crate) act: Option<Object<Act<'t>>>,
}

impl<'t> Members<'t> for Claims<'t> {
    fn member<A: MapAccess<'t>>(&mut self, name: &str, values: &mut A) -> Result<bool, A::Error> {
        match name {
            "iss" => once(&mut self.iss, values),
            "sub" => once(&mut self.sub, values),
            "aud" => once(&mut self.aud, values),
            "exp" => once(&mut self.exp, values),
            "iat" => once(&mut self.iat, values),
            "nbf" => once(&mut self.nbf, values),
            "jti" => once(&mut self.jti, values),
            "tenant" => once(&mut self.tenant, values),
            "site" => once(&mut self.site, values),
            "scope" => once(&mut self.scope, values),
            "roles" => once(&mut self.roles, values),
            "client_id" => once(&mut self.client_id, values),
            "sid" => once(&mut self.sid, values),
            "auth_time" => once(&mut self.auth_time, values),
            "amr" => once(&mut self.amr, values),
            "act" => once(&mut self.act, values),
            _ => Ok(false),
        }
    }
}

/// Who acts for the subject (RFC 8693, section 4.1). Those it acts for in turn are for the record, and not read.
#[derive(Default)]
pub(crate) struct Act<'t> {
    pub(crate) sub: Option<Text<'t>>,
}

impl<'t> Members<'t> for Act<'t> {
    fn member<A: MapAccess<'t>>(&mut self, name: &str, values: &mut A) -> Result<bool, A::Error> {
        if name == "sub" { once(&mut self.sub, values) } else { Ok(false) }
    }
}

/// One name or several: RFC 7519 allows both.
pub(crate) enum Audience<'t> {
    One(Text<'t>),
    Several(Vec<Text<'t>>),
}

impl Audience<'_> {
    pub(crate) fn includes(&self, name: &str) -> bool {
        match self {
            Self::One(one) => **one == *name,
            Self::Several(several) => several.iter().any(|one| **one == *name),
        }
    }
}

impl<'t> Deserialize<'t> for Audience<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'t> Visitor<'t> for AudienceVisitor {
    type Value = Audience<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or several")
    }

    fn visit_borrowed_str<E>(self, name: &'t str) -> Result<Audience<'t>, E> {
        Ok(Audience::One(Text(name.into())))
    }

    fn visit_str<E>(self, name: &str) -> Result<Audience<'t>, E> {
        Ok(Audience::One(Text(name.to_owned().into())))
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut names: A) -> Result<Audience<'t>, A::Error> {
        let mut several = Vec::new();
        while let Some(name) = names.next_element()? {
            several.push(name);
        }
        Ok(Audience::Several(several))
    }
}

/// The type in the header that tells an access token from every other kind (RFC 9068, section 2.1).
pub(crate) const TYPE: &str = "at+jwt";

/// The header that an issuer writes.
#[derive(Serialize)]
pub(crate) struct Header<'k> {
    pub(crate) alg: &'static str,
    pub(crate) typ: &'static str,
    pub(crate) kid: &'k str,
}

/// The claims that it writes. Absent ones are left out.
#[derive(Serialize)]
pub(crate) struct Written<'g> {
    pub(crate) iss: &'g str,
    pub(crate) sub: &'g str,
    pub(crate) aud: &'g str,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) jti: String,
    pub(crate) tenant: TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<Id<Site>>,
    /// The names of permissions, separated by spaces.
    pub(crate) scope: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) roles: &'g [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<&'g str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) amr: &'g [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) act: Option<Acting<'g>>,
}

#[derive(Serialize)]
pub(crate) struct Acting<'g> {
    pub(crate) sub: &'g str,
}

pub(crate) fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

pub(crate) fn encode_json(part: &impl Serialize) -> String {
    // Texts and numbers alone: there is nothing in it that can fail.
    encode(serde_json::to_vec(part).unwrap_or_default())
}

/// A subject, a role or a token's id: text that can be compared, stored and logged as it is.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control)
}
