//! Sealed values open in their own place, under a known key, unchanged; and nowhere else.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use shared_core::Secret;
use shared_security::{Algorithm, Error, MasterKey, Place, Sealed, Sealer, SigningKey};

const HERE: Place<'_> = Place { table: "notes.token", column: "secret", row: b"row 1" };

pub(crate) fn master_key(version: u32) -> MasterKey {
    let bytes = [version.to_le_bytes()[0]; 32];
    MasterKey::new(&Secret::new(format!("{version}:{}", STANDARD.encode(bytes)))).unwrap()
}

pub(crate) fn sealer(versions: &[u32]) -> Sealer {
    Sealer::new(versions.iter().map(|version| master_key(*version))).unwrap()
}

fn sealed(sealer: &Sealer) -> Sealed<Secret> {
    sealer.seal(&Secret::new("hush-hush"), HERE).unwrap()
}

fn opens(sealer: &Sealer, sealed: &Sealed<Secret>, place: Place<'_>) -> Result<String, Error> {
    sealer.open(sealed, place).map(|secret| secret.expose().to_owned())
}

#[test]
fn what_was_sealed_opens_in_its_place() {
    let sealer = sealer(&[1]);
    let sealed = sealed(&sealer);
    assert_eq!(opens(&sealer, &sealed, HERE).unwrap(), "hush-hush");
    assert!(!sealed.as_bytes().windows(7).any(|window| window == b"hush-hush"));

    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    assert_eq!(sealer.open(&sealer.seal(&key, HERE).unwrap(), HERE).unwrap().id(), key.id());
    let secret = SigningKey::generate(Algorithm::Hs256).unwrap();
    assert!(matches!(sealer.seal(&secret, HERE), Err(Error::Sealing)), "it stays in its program");
}

/// ASVS 11.3.3: neither between rows, nor columns, nor tables; nor where only the border between their names moves.
#[test]
fn a_ciphertext_that_was_moved_does_not_open() {
    let sealer = sealer(&[1]);
    let sealed = sealed(&sealer);
    for place in [
        Place { row: b"row 2", ..HERE },
        Place { row: b"", ..HERE },
        Place { column: "secret2", ..HERE },
        Place { table: "notes.token2", ..HERE },
        Place { table: "notes.tokensecret", column: "", ..HERE },
        Place { table: "notes.toke", column: "nsecret", ..HERE },
        Place { column: "secretrow 1", row: b"", ..HERE },
    ] {
        assert!(matches!(opens(&sealer, &sealed, place), Err(Error::Unsealable)), "{place:?}");
    }
}

/// ASVS 11.3.3: a shorter tag is easier to guess.
#[test]
fn a_truncated_value_does_not_open() {
    let sealer = sealer(&[1]);
    let whole = sealed(&sealer).as_bytes().to_vec();
    for length in 0..whole.len() {
        let cut = Sealed::from_bytes(whole[..length].to_vec());
        assert!(matches!(opens(&sealer, &cut, HERE), Err(Error::Unsealable)), "{length} bytes");
    }
    assert!(opens(&sealer, &Sealed::from_bytes([&whole[..], &[0]].concat()), HERE).is_err());
}

/// ASVS 11.2.2 and 13.3.4.
#[test]
fn after_a_rotation_old_values_open_and_are_sealed_again() {
    let old = sealed(&sealer(&[1]));
    let rotated = sealer(&[2, 1]);
    assert!(!rotated.is_current(&old));
    let value: Secret = rotated.open(&old, HERE).unwrap();
    let again = rotated.seal(&value, HERE).unwrap();
    assert!(rotated.is_current(&again));
    assert_eq!((old.version(), again.version()), (Some(1), Some(2)));

    let only_new = sealer(&[2]);
    assert_eq!(opens(&only_new, &again, HERE).unwrap(), "hush-hush");
    let unknown = opens(&only_new, &old, HERE).unwrap_err();
    assert!(matches!(unknown, Error::UnknownMasterKey { version: 1, .. }));
    assert!(unknown.to_string().contains("version 1"), "{unknown}");
}

#[test]
fn a_value_does_not_open_under_another_key_of_its_version() {
    let other = MasterKey::new(&Secret::new(format!("1:{}", STANDARD.encode([9; 32])))).unwrap();
    let other = Sealer::new([other]).unwrap();
    assert!(matches!(opens(&other, &sealed(&sealer(&[1])), HERE), Err(Error::Unsealable)));
    // The version is authenticated as well: a value can't be passed off as another key's.
    let mut bytes = sealed(&sealer(&[1])).as_bytes().to_vec();
    bytes[4] = 2;
    let two_names = Sealer::new([
        master_key(1),
        MasterKey::new(&Secret::new(format!("2:{}", STANDARD.encode([1; 32])))).unwrap(),
    ]);
    assert!(matches!(opens(&two_names.unwrap(), &Sealed::from_bytes(bytes), HERE), Err(Error::Unsealable)));
}

/// ASVS 11.3.4: under one key, a nonce that comes twice gives both texts away.
#[test]
fn no_nonce_comes_twice() {
    let sealer = sealer(&[1]);
    let nonces: HashSet<Vec<u8>> = (0..100_000).map(|_| sealed(&sealer).as_bytes()[5..17].to_vec()).collect();
    assert_eq!(nonces.len(), 100_000);
}

#[test]
fn master_keys_are_versioned_and_whole_or_refused() {
    assert!(matches!(Sealer::new([]), Err(Error::MasterKeys)));
    assert!(matches!(Sealer::new([master_key(1), master_key(1)]), Err(Error::MasterKeys)));
    for text in ["", "1", "1:", "1:AAAA", ":AAAA", "x:AAAA", "-1:AAAA", &"A".repeat(44)] {
        assert!(matches!(MasterKey::new(&Secret::new(text)), Err(Error::MasterKey)), "{text}");
    }
    let shown = format!("{:?} {:?} {:?}", master_key(1), sealer(&[2, 1]), sealed(&sealer(&[1])));
    assert_eq!(shown, "MasterKey(1, ***) Sealer[2, 1] Sealed(version Some(1), 42 bytes)");
}

proptest! {
    #[test]
    fn any_value_in_any_place(value: Vec<u8>, table in ".{0,20}", column in ".{0,20}", row: Vec<u8>) {
        let (sealer, place) = (sealer(&[7]), Place { table: &table, column: &column, row: &row });
        let sealed = sealer.seal(&value, place).unwrap();
        prop_assert_eq!(sealer.open(&sealed, place).unwrap(), value);
    }

    #[test]
    fn one_flipped_bit_is_noticed(value: Vec<u8>, bit: prop::sample::Index) {
        let sealer = sealer(&[1, 2]);
        let mut bytes = sealer.seal(&value, HERE).unwrap().as_bytes().to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(sealer.open(&Sealed::<Vec<u8>>::from_bytes(bytes), HERE).is_err());
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        prop_assert!(sealer(&[0, 1]).open(&Sealed::<Vec<u8>>::from_bytes(bytes), HERE).is_err());
    }
}
