//! What a verification costs in memory.

use allocation_counter::measure;

use shared_core::TenantId;
use shared_security::{Grant, Verifier};

use crate::support::*;

fn token() -> String {
    let grant = Grant::new(TenantId::new(), "user:7").with_permissions((ReadNotes, WriteNotes));
    issuer().issue(&grant).unwrap().expose().to_owned()
}

fn allocations(verifier: &Verifier, token: &str) -> u64 {
    measure(|| {
        verifier.verify(token).unwrap();
    })
    .count_total
}

/// The claims as text, and what is kept of them: the subject, the token's id, the scope, and one for all of it together.
#[test]
fn a_verification_allocates_what_it_returns_and_little_else() {
    let verifier = verifier().with_cache(0);
    verifier.verify(token()).unwrap(); // the header and the metrics, once
    assert_eq!(allocations(&verifier, &token()), 5);
}

#[test]
fn a_remembered_token_allocates_nothing() {
    let (verifier, token) = (verifier(), token());
    verifier.verify(&token).unwrap();
    assert_eq!(allocations(&verifier, &token), 0);
}

#[test]
fn a_refusal_allocates_nothing_unless_claims_were_read() {
    let verifier = verifier();
    let token = token();
    verifier.verify(&token).unwrap();
    let (rest, _) = token.rsplit_once('.').unwrap();
    for bad in ["x".repeat(100_000), "a.b.c".to_owned(), format!("{rest}.{}", encode([7; 64]))] {
        let _ = verifier.verify(&bad);
        let cost = measure(|| assert!(verifier.verify(&bad).is_err())).count_total;
        // The metric of refusals has the reason as an attribute.
        assert!(cost <= 1, "{cost} for {} bytes", bad.len());
    }
}
