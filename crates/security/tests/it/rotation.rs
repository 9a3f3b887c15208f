//! Keys come and go, and tokens with them.

use std::time::Duration;

use shared_core::{Clock, Id, Site, TenantId};
use shared_security::{Error, Grant, Issuer, Principal, Verifier, VerifyError};

use crate::support::*;

fn grant() -> Grant {
    Grant::new(TenantId::new(), "user:7").with_permissions(ReadNotes)
}

#[test]
fn both_keys_are_accepted_during_a_rotation_and_a_removed_one_is_refused() {
    let (old, new) = (key(OURS), key(THEIRS));
    let token_of = |key| Issuer::new(key, ISSUER, AUDIENCE).issue(&grant()).unwrap();
    let (before, after) = (token_of(old.clone()), token_of(new.clone()));
    let keys = [old.verifying_key().clone(), new.verifying_key().clone()];

    let during = Verifier::new(ISSUER, AUDIENCE, keys.clone()).unwrap();
    assert!(during.verify(before.expose()).is_ok());
    assert!(during.verify(after.expose()).is_ok());

    let afterwards = Verifier::new(ISSUER, AUDIENCE, keys[1..].to_vec()).unwrap();
    assert_eq!(afterwards.verify(before.expose()).unwrap_err(), VerifyError::UnknownKey);
    assert!(afterwards.verify(after.expose()).is_ok());
}

#[test]
fn a_token_says_what_it_was_granted() {
    let (tenant, site) = (TenantId::new(), Id::<Site>::new());
    let grant = Grant::new(tenant, "user:7").with_site(site).with_permissions(["notes:write", "files:read"]);
    let token = issuer().issue(&grant).unwrap();

    let principal = Principal::new(verifier().verify(token.expose()).unwrap(), &MATRIX, None);
    assert_eq!((principal.tenant(), principal.context().site()), (tenant, Some(site)));
    assert_eq!(principal.subject(), "user:7");
    assert_eq!(principal.permissions().names().collect::<Vec<_>>(), ["notes:write"]);
    let again = issuer().issue(&grant).unwrap();
    let again = Principal::new(verifier().verify(again.expose()).unwrap(), &MATRIX, None);
    assert_ne!(principal.token_id(), again.token_id(), "no two tokens share an id");
}

#[test]
fn a_token_lives_as_long_as_it_says_and_the_leeway() {
    let clock = Clock::manual(NOW);
    let issuer = issuer().with_lifetime(Duration::from_secs(60)).with_clock(clock.clone());
    let verifier = verifier().with_leeway(Duration::from_secs(5)).with_clock(clock.clone());
    let token = issuer.issue(&grant()).unwrap();
    assert_eq!(token.expires_at(), NOW + Duration::from_secs(60));

    clock.advance(Duration::from_secs(64));
    assert!(verifier.verify(token.expose()).is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.verify(token.expose()).unwrap_err(), VerifyError::Expired);
}

#[test]
fn no_token_is_issued_that_no_verifier_accepts() {
    let refused = |grant: Grant| issuer().issue(&grant).unwrap_err();
    for subject in ["", "two\nlines", &"x".repeat(256)] {
        assert!(matches!(refused(Grant::new(TenantId::new(), subject)), Error::Subject), "{subject}");
    }
    for name in ["notes", "notes:read notes:write", "notes:*", "\"quoted\":x"] {
        let grant = Grant::new(TenantId::new(), "user:7").with_permissions([name]);
        assert!(matches!(refused(grant), Error::Permission { .. }), "{name}");
    }
    let many: Vec<String> = (0..1000).map(|n| format!("notes:action-{n}")).collect();
    assert!(matches!(refused(grant().with_permissions(many.as_slice())), Error::TooLarge));
}

#[test]
fn a_policy_is_complete_or_not_made() {
    let missing = |issuer: &str, audience: &str, keys: Vec<_>| match Verifier::new(issuer, audience, keys) {
        Err(Error::IncompletePolicy { missing, .. }) => missing,
        other => panic!("{other:?}"),
    };
    let keys = vec![key(OURS).verifying_key().clone()];
    assert_eq!(missing("", AUDIENCE, keys.clone()), "an issuer");
    assert_eq!(missing(ISSUER, "", keys), "an audience");
    assert_eq!(missing(ISSUER, AUDIENCE, Vec::new()), "a key");
}
