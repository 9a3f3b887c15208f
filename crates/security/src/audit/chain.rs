//! The hashes. An entry's is over all that it says; a batch's, its root, is over the root before and its entries' hashes.
//!
//! A chain of batches and no tree over all entries: whoever checks, checks a batch whole, and nobody proves a single entry without
//! its neighbours. Entries and batches begin with different bytes, as in RFC 6962, section 2.1, so that neither can be taken for the
//! other; every text has its length before it, so that nothing can move from one column into the next.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use shared_core::TenantId;
use time::OffsetDateTime;

use super::entry::Entry;

const ENTRY: u8 = 0;
const BATCH: u8 = 1;

/// A SHA-256 digest; as text, 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// What stands before the first batch of a chain.
    pub(crate) const START: Self = Self([0; 32]);

    /// From a column; what is no digest equals none.
    pub(crate) fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 64 hexadecimal digits")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let mut digest = [0; 32];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidDigest);
        }
        for (byte, pair) in digest.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidDigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(digest))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// The hash of an entry. Its position is not in it, but in its batch's: entries that have changed places are found as such.
pub(crate) fn leaf(entry: &Entry) -> Digest {
    let mut hash = Hash::new(ENTRY);
    hash.text(Some(&entry.xid));
    hash.fixed(entry.id.as_bytes());
    hash.fixed(entry.tenant_id.as_uuid().as_bytes());
    hash.time(entry.at);
    hash.fixed(&entry.waited_ms.to_be_bytes());
    for text in [
        Some(&entry.action),
        Some(&entry.outcome),
        entry.actor.as_ref(),
        entry.on_behalf_of.as_ref(),
        entry.target_kind.as_ref(),
        entry.target_id.as_ref(),
        entry.reason.as_ref(),
        entry.address.as_ref(),
        entry.user_agent.as_ref(),
        entry.correlation.as_ref(),
        entry.traceparent.as_ref(),
        entry.details.as_ref(),
    ] {
        hash.text(text.map(String::as_str));
    }
    hash.digest()
}

/// What the root of a batch is over.
pub(crate) struct Batch<'a> {
    pub(crate) previous: Digest,
    pub(crate) tenant: TenantId,
    pub(crate) number: i64,
    pub(crate) since: OffsetDateTime,
    pub(crate) until: OffsetDateTime,
    pub(crate) positions: &'a [i64],
    /// The entries' hashes, one behind the other.
    pub(crate) leaves: &'a [u8],
}

impl Batch<'_> {
    pub(crate) fn root(&self) -> Digest {
        let mut hash = Hash::new(BATCH);
        hash.fixed(&self.previous.0);
        hash.fixed(self.tenant.as_uuid().as_bytes());
        hash.fixed(&self.number.to_be_bytes());
        hash.time(self.since);
        hash.time(self.until);
        hash.fixed(&(self.positions.len() as u64).to_be_bytes());
        self.positions.iter().for_each(|pos| hash.fixed(&pos.to_be_bytes()));
        hash.fixed(self.leaves);
        hash.digest()
    }
}

struct Hash(Context);

impl Hash {
    fn new(kind: u8) -> Self {
        let mut hash = Self(Context::new(&SHA256));
        hash.fixed(&[kind]);
        hash
    }

    fn fixed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Microseconds, which is what the server keeps.
    fn time(&mut self, at: OffsetDateTime) {
        self.fixed(&(at.unix_timestamp_nanos() / 1000).to_be_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            None => self.fixed(&[0]),
            Some(text) => {
                self.fixed(&[1]);
                self.fixed(&(text.len() as u64).to_be_bytes());
                self.fixed(text.as_bytes());
            }
        }
    }

    fn digest(self) -> Digest {
        Digest::stored(self.0.finish().as_ref()).unwrap_or_default()
    }
}
