//! The successor of a refresh token, kept for whoever holds the token that it succeeds, and for nobody else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use super::token::SECRET;
use crate::SessionId;

const NONCE: usize = 12;

/// Encrypts `successor` under a key that is derived from the secret before it (HKDF, RFC 5869): nonce, text and tag. What is
/// stored of that secret is its SHA-256, which gives nothing away of the key.
pub(super) fn seal(session: SessionId, secret: &[u8; SECRET], successor: &[u8; SECRET]) -> Option<Vec<u8>> {
    // Room for the tag: what grows leaves a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(SECRET + AES_256_GCM.tag_len()));
    text.extend_from_slice(successor);
    let nonce =
        key(secret)?.seal_in_place_append_tag(Aad::from(session.as_uuid().into_bytes()), &mut *text).ok()?;
    Some([nonce.as_ref(), text.as_slice()].concat())
}

/// Decrypts it; `None` if it is another session's, was sealed under another secret, or is not what was sealed.
pub(super) fn open(
    session: SessionId,
    secret: &[u8; SECRET],
    sealed: &[u8],
) -> Option<Zeroizing<[u8; SECRET]>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let aad = Aad::from(session.as_uuid().into_bytes());
    let opened = key(secret)?.open_in_place(Nonce::from(nonce), aad, &mut text).ok()?;
    Some(Zeroizing::new(<[u8; SECRET]>::try_from(&*opened).ok()?))
}

fn key(secret: &[u8; SECRET]) -> Option<RandomizedNonceKey> {
    let mut key = Zeroizing::new([0; 32]);
    let extracted = Salt::new(HKDF_SHA256, b"shared_security refresh").extract(secret);
    extracted.expand(&[b"successor"], HKDF_SHA256).ok()?.fill(&mut *key).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &*key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_holder_of_the_secret_before_gets_it_back() {
        let (session, other) = (SessionId::new(), SessionId::new());
        let sealed = seal(session, &[1; SECRET], &[2; SECRET]).unwrap();
        assert_eq!(open(session, &[1; SECRET], &sealed).as_deref(), Some(&[2; SECRET]));
        assert_eq!(open(session, &[3; SECRET], &sealed), None);
        assert_eq!(open(other, &[1; SECRET], &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(session, &[1; SECRET], &changed), None, "byte {at}");
            assert_eq!(open(session, &[1; SECRET], &sealed[..at]), None, "{at} bytes");
        }
        assert!(!sealed.windows(4).any(|window| window == [2; 4]));
        assert_ne!(seal(session, &[1; SECRET], &[2; SECRET]), Some(sealed), "the nonce is random");
    }
}
