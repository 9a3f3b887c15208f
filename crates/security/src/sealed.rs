//! Columns that only the program can read.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use shared_core::Secret;
use zeroize::Zeroizing;

use crate::{Error, SigningKey, VerifyingKey};

mod master_key;
#[cfg(feature = "postgres")]
mod postgres;

pub use master_key::MasterKey;

/// The first byte, for the day on which the form changes.
const FORM: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;
/// The form, the version of the master key, and the nonce stand before the ciphertext.
const HEAD: usize = 1 + 4 + NONCE;

/// A `T` that was encrypted by a [`Sealer`] for one place in the database. With the feature `postgres` it is a `bytea`.
pub struct Sealed<T> {
    bytes: Vec<u8>,
    of: PhantomData<fn() -> T>,
}

/// Where a sealed value lies: a table with its schema, a column, and the row's key. It is authenticated with the value, so
/// that a ciphertext which somebody puts elsewhere does not open there.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Such as `shared_security.signing_key`.
    pub table: &'a str,
    /// Such as `private_key`.
    pub column: &'a str,
    /// The primary key, as bytes; with the tenant before it, where rows belong to tenants.
    pub row: &'a [u8],
}

/// What can be sealed.
pub trait Sealable: Sized {
    /// What is encrypted; `None` for a value that can't leave the process.
    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>>;
    /// The value again.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Sealable for Secret {
    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(self.expose().as_bytes().to_vec()))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().map(Self::new)
    }
}

impl Sealable for Vec<u8> {
    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(self.clone()))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl Sealable for SigningKey {
    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.to_pkcs8()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_pkcs8(bytes)
    }
}

impl Sealable for VerifyingKey {
    fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.to_jwk().map(|json| Zeroizing::new(json.into_bytes()))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_jwk(std::str::from_utf8(bytes).ok()?).ok()
    }
}

/// Seals and opens values with AES-256-GCM, under a ring of master keys. Cheap to clone.
///
/// Nonces are random, which is safe for 2³² values under one master key (NIST SP 800-38D, section 8.3): add a new one long
/// before. The length of a value shows.
#[derive(Clone)]
pub struct Sealer(Arc<[(u32, RandomizedNonceKey)]>);

impl Sealer {
    /// Seals with the first of the master keys, and opens what any of them has sealed.
    ///
    /// To rotate: add the new key at the end, everywhere; then put it first; and remove the old one when everything that it
    /// has sealed was [sealed again](Self::is_current).
    ///
    /// # Errors
    /// [`Error::MasterKeys`] without a key, or with two of one version.
    pub fn new(keys: impl IntoIterator<Item = MasterKey>) -> Result<Self, Error> {
        let keys: Vec<_> = keys.into_iter().collect();
        let doubled =
            |(at, key): (usize, &MasterKey)| keys[..at].iter().any(|other| other.version() == key.version());
        if keys.is_empty() || keys.iter().enumerate().any(doubled) {
            return Err(Error::MasterKeys);
        }
        let prepared = |key: &MasterKey| {
            RandomizedNonceKey::new(&AES_256_GCM, key.bytes()).ok().map(|prepared| (key.version(), prepared))
        };
        keys.iter().map(prepared).collect::<Option<_>>().map(Self).ok_or(Error::MasterKeys)
    }

    /// Encrypts a value for its place.
    ///
    /// # Errors
    /// [`Error::Sealing`] for a value that can't leave the process, or if the cryptographic library refuses.
    pub fn seal<T: Sealable>(&self, value: &T, place: Place<'_>) -> Result<Sealed<T>, Error> {
        let (version, key) = self.0.first().ok_or(Error::MasterKeys)?;
        let plain = value.to_bytes().ok_or(Error::Sealing)?;
        // Room for the tag, so that the plain text is never moved and left behind.
        let mut text = Vec::with_capacity(plain.len() + TAG);
        text.extend_from_slice(&plain);
        let nonce = key.seal_in_place_append_tag(Aad::from(place.with(*version)), &mut text);
        let nonce = nonce.map_err(|_| Error::Sealing)?;
        let bytes = [&[FORM], version.to_be_bytes().as_slice(), nonce.as_ref(), &text].concat();
        Ok(Sealed::from_bytes(bytes))
    }

    /// Decrypts a value in its place.
    ///
    /// # Errors
    /// [`Error::UnknownMasterKey`] if it was sealed under another key than these; [`Error::Unsealable`] if it was changed,
    /// cut, or brought here from another place.
    pub fn open<T: Sealable>(&self, sealed: &Sealed<T>, place: Place<'_>) -> Result<T, Error> {
        let (version, nonce, text) = sealed.parts().ok_or(Error::Unsealable)?;
        let key = self.0.iter().find(|(known, _)| *known == version);
        let (_, key) = key.ok_or(Error::UnknownMasterKey { version })?;
        let mut text = Zeroizing::new(text.to_vec());
        let plain = key.open_in_place(Nonce::from(nonce), Aad::from(place.with(version)), &mut text);
        plain.ok().and_then(|plain| T::from_bytes(plain)).ok_or(Error::Unsealable)
    }

    /// Whether a value is sealed under the master key that seals now. One that is not should be opened and sealed again.
    pub fn is_current<T>(&self, sealed: &Sealed<T>) -> bool {
        sealed.version().is_some() && sealed.version() == self.0.first().map(|(version, _)| *version)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")?;
        f.debug_list().entries(self.0.iter().map(|(version, _)| version)).finish()
    }
}

impl Place<'_> {
    /// What is authenticated. Each part has its length before it, so that no two places read alike.
    fn with(&self, version: u32) -> Vec<u8> {
        let mut text = [&[FORM], version.to_be_bytes().as_slice()].concat();
        for part in [self.table.as_bytes(), self.column.as_bytes(), self.row] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        text
    }
}

impl<T> Sealed<T> {
    /// Takes what a database has given back; [`Sealer::open`] judges it.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// What is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The version of the master key that it was sealed under.
    pub fn version(&self) -> Option<u32> {
        self.parts().map(|(version, _, _)| version)
    }

    fn parts(&self) -> Option<(u32, &[u8; NONCE], &[u8])> {
        let (head, text) = self.bytes.split_at_checked(HEAD).filter(|(_, text)| text.len() >= TAG)?;
        let (&FORM, rest) = head.split_first()? else { return None };
        let (version, nonce) = rest.split_first_chunk()?;
        Some((u32::from_be_bytes(*version), nonce.try_into().ok()?, text))
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self::from_bytes(self.bytes.clone())
    }
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(version {:?}, {} bytes)", self.version(), self.bytes.len())
    }
}
