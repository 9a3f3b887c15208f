//! The fuzz targets' functions on the stable toolchain: shortly, from what is right and a few edits away, with a fixed seed.

#[allow(unreachable_pub, reason = "public in the crate of the fuzz targets")]
#[path = "../../fuzz/src/lib.rs"]
mod entries;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use shared_security::VerifyingKey;

use entries::{fields, forwarded, header, jwks, token};

/// Up to a dozen places of a text with other bytes: those that JSON is made of, and any.
fn edited(text: String) -> impl Strategy<Value = Vec<u8>> {
    let structural = prop::sample::select(br#"{}[]",:\ 0-9eEu.ntf"#.to_vec());
    let byte = prop_oneof![structural, any::<u8>()];
    let edit = (any::<prop::sample::Index>(), 0_usize..3, prop::collection::vec(byte, 0..4));
    prop::collection::vec(edit, 0..12).prop_map(move |edits| {
        let mut bytes = text.clone().into_bytes();
        for (at, length, with) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, with);
        }
        bytes
    })
}

/// The same, or as it is, or twice.
fn lines(text: String) -> impl Strategy<Value = Vec<u8>> {
    let (plain, twice) = (text.clone().into_bytes(), format!("{text}\n{text}").into_bytes());
    prop_oneof![8 => edited(text), 1 => Just(plain), 1 => Just(twice)]
}

/// A rule as `fields` takes it: mostly with a name and numbers that a limiter takes.
fn rule() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![0_u64..100, 0..10_000_000_000_u64, any::<u64>()];
    (any::<u8>(), 0_u8..90, 1_u8..34, prop::array::uniform3(number)).prop_map(
        |(kind, from, length, numbers)| {
            let numbers = numbers.into_iter().flat_map(u64::to_le_bytes);
            [kind, from, from + length].into_iter().chain(numbers).collect()
        },
    )
}

fn seeded() -> Config {
    Config { cases: 4000, rng_seed: RngSeed::Fixed(5), ..Config::default() }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for any in [token::any, jwks::any, header::any, forwarded::any, fields::any] {
            any(&bytes);
        }
    }

    #[test]
    fn headers_a_few_edits_away(header in edited(token::header())) {
        token::any_header(&header);
    }

    #[test]
    fn claims_a_few_edits_away(claims in edited(token::claims())) {
        token::any_claims(&claims);
    }

    #[test]
    fn keys_a_few_edits_away(key in edited(jwks::key())) {
        jwks::any_key(&key);
    }

    #[test]
    fn documents_of_keys_a_few_edits_away(document in edited(jwks::document())) {
        jwks::any_document(&document);
    }

    #[test]
    fn authorization_a_few_edits_away(lines in lines(header::authorization())) {
        header::any_authorization(&lines);
    }

    #[test]
    fn cookies_a_few_edits_away(lines in lines(header::cookies())) {
        header::any_cookies(&lines);
    }

    #[test]
    fn forwarded_addresses_a_few_edits_away(lines in lines(forwarded::lists())) {
        forwarded::any(&lines);
    }

    #[test]
    fn fields_of_any_limits(cost: u64, rules in prop::collection::vec(rule(), 1..5)) {
        let bytes: Vec<u8> = cost.to_le_bytes().into_iter().chain(rules.into_iter().flatten()).collect();
        fields::any(&bytes);
    }
}

/// What is edited is what is accepted: else nothing above would look at more than refusals.
#[test]
fn what_the_edits_begin_with_is_right() {
    let keys = VerifyingKey::from_jwk_set(jwks::document().as_bytes()).unwrap();
    assert_eq!(
        keys.iter().map(|key| key.algorithm().name()).collect::<Vec<_>>(),
        ["EdDSA", "ES256", "RS256"]
    );
    VerifyingKey::from_jwk(&jwks::key()).unwrap();
    jwks::any_document(jwks::document().as_bytes());
    header::any_authorization(header::authorization().as_bytes());
    header::any_cookies(header::cookies().as_bytes());
    forwarded::any(forwarded::lists().as_bytes());
}
