use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared_core::Secret;
use shared_core::schema::{Kind, Value};
use zeroize::Zeroizing;

use crate::Error;

const LENGTH: usize = 32;

/// A key that seals others, with its version: `1:` and the base64 of 32 random bytes. The memory is overwritten when it is
/// dropped.
#[derive(Clone)]
pub struct MasterKey {
    version: u32,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl MasterKey {
    /// Reads `VERSION:BASE64`; the base64 is what `openssl rand -base64 32` prints. A version is never given to two keys,
    /// not even after one is gone.
    ///
    /// # Errors
    /// [`Error::MasterKey`] if it is anything else.
    pub fn new(text: &Secret) -> Result<Self, Error> {
        Self::read(text.expose()).ok_or(Error::MasterKey)
    }

    fn read(text: &str) -> Option<Self> {
        let (version, base64) = text.trim().split_once(':')?;
        let decoded = Zeroizing::new(STANDARD.decode(base64).ok()?);
        let bytes = Zeroizing::new(<[u8; LENGTH]>::try_from(decoded.as_slice()).ok()?);
        Some(Self { version: version.parse().ok()?, bytes })
    }

    /// The version, by which sealed values name it.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.bytes(), other.bytes()).is_ok()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, ***)", self.version)
    }
}

impl Value for MasterKey {
    const KIND: Kind = Kind::Secret;

    fn parse(text: &str) -> Option<Self> {
        Self::read(text)
    }
}
