//! The fuzz targets' functions on the stable toolchain: shortly, from what is right and a few edits away, with a fixed seed.

#[allow(unreachable_pub, reason = "public in the crate of the fuzz targets")]
#[path = "../../fuzz/src/lib.rs"]
mod entries;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use entries::token;

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

fn seeded() -> Config {
    Config { cases: 4000, rng_seed: RngSeed::Fixed(5), ..Config::default() }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        token::any(&bytes);
    }

    #[test]
    fn headers_a_few_edits_away(header in edited(token::header())) {
        token::any_header(&header);
    }

    #[test]
    fn claims_a_few_edits_away(claims in edited(token::claims())) {
        token::any_claims(&claims);
    }
}
