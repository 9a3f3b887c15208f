//! Several issuers in one program: each speaks for itself, and for its own tenants.

use serde_json::json;
use shared_core::{Clock, TenantId};
use shared_security::VerifyError::*;
use shared_security::{Algorithm, Error, Grant, Issuer, Keys, Policy, Principal, TokenType, Verifier};

use crate::roles::{ActAsUser, DESK, ReadNotes, SuspendTenant};
use crate::support::{
    AUDIENCE, ISSUER, NOW, OURS, THEIRS, claims, header, key, signed, verifier, verifier_now, with,
};

const PARTNER: &str = "https://id.partner.example";

fn policy(issuer: &str, key: &str) -> Policy {
    let keys = Keys::fixed([crate::support::key(key).verifying_key().clone()]);
    Policy::new(issuer, AUDIENCE, TokenType::Access, Algorithm::EdDsa, keys).unwrap()
}

fn token_of(issuer: &str, key: &str, tenant: TenantId) -> String {
    let issuer = Issuer::new(crate::support::key(key), issuer, AUDIENCE);
    issuer.issue(&Grant::new(tenant, "user:7")).unwrap().expose().to_owned()
}

#[test]
fn a_policy_is_complete_or_not_made() {
    let keys = || Keys::fixed([key(OURS).verifying_key().clone()]);
    for (issuer, audience, expected) in [("", AUDIENCE, "an issuer"), (ISSUER, "", "an audience")] {
        let policy = Policy::new(issuer, audience, TokenType::Access, Algorithm::EdDsa, keys());
        assert!(matches!(policy, Err(Error::IncompletePolicy { missing, .. }) if missing == expected));
    }
    assert!(matches!(Verifier::any_of([]), Err(Error::IncompletePolicy { .. })));
    let many = (0..17).map(|_| policy(ISSUER, OURS));
    assert!(matches!(Verifier::any_of(many), Err(Error::ManyPolicies { .. })));
}

/// ASVS 8.4.1: an issuer that speaks for some tenants can't make itself another's, also not with a right signature.
#[test]
fn an_issuer_speaks_for_its_own_tenants_alone() {
    let (acme, other) = (TenantId::new(), TenantId::new());
    let policies = [policy(ISSUER, OURS), policy(PARTNER, THEIRS).for_tenants([acme])];
    let verifier = Verifier::any_of(policies).unwrap();
    for tenant in [acme, other] {
        assert!(verifier.verify(token_of(ISSUER, OURS, tenant)).is_ok());
    }
    assert_eq!(verifier.verify(token_of(PARTNER, THEIRS, acme)).unwrap().issuer(), PARTNER);
    assert_eq!(verifier.verify(token_of(PARTNER, THEIRS, other)).unwrap_err(), ForeignTenant);
    let nobodys = Verifier::any_of([policy(ISSUER, OURS).for_tenants([])]).unwrap();
    assert_eq!(nobodys.verify(token_of(ISSUER, OURS, acme)).unwrap_err(), ForeignTenant);
}

/// ASVS 8.4.1: a permission of the system leads into other tenants, so such an issuer has none to give, by whatever name.
#[test]
fn an_issuer_that_speaks_for_some_tenants_gives_nobody_the_power_of_the_system() {
    let acme = TenantId::new();
    let policies = [policy(ISSUER, OURS), policy(PARTNER, THEIRS).for_tenants([acme])];
    let verifier = Verifier::any_of(policies).unwrap();
    let principal = |issuer: &str, key: &str| {
        let grant = Grant::new(acme, "user:7")
            .with_roles(["operator", "reader"])
            .with_permissions(["users:impersonate"]);
        let token = Issuer::new(crate::support::key(key), issuer, AUDIENCE).issue(&grant).unwrap();
        Principal::new(verifier.verify(token.expose()).unwrap(), &DESK, None)
    };
    let (ours, partners) = (principal(ISSUER, OURS), principal(PARTNER, THEIRS));
    assert!(ours.may::<SuspendTenant>().is_some() && ours.may::<ActAsUser>().is_some());
    assert!(partners.may::<ReadNotes>().is_some());
    assert!(partners.may::<SuspendTenant>().is_none() && partners.may::<ActAsUser>().is_none());
    for system in ["users:impersonate", "tenants:suspend"] {
        assert!(ours.explain(system).is_allowed() && !partners.explain(system).is_allowed(), "{system}");
        assert_eq!(partners.check([system]).collect::<Vec<_>>(), [false]);
    }
}

/// ASVS 9.1.3: the key decides who the issuer is, not the claim.
#[test]
fn no_issuer_signs_for_another() {
    let verifier = Verifier::any_of([policy(ISSUER, OURS), policy(PARTNER, THEIRS)]).unwrap();
    let tenant = TenantId::new();
    assert_eq!(verifier.verify(token_of(ISSUER, THEIRS, tenant)).unwrap_err(), WrongIssuer);
    assert_eq!(verifier.verify(token_of(PARTNER, OURS, tenant)).unwrap_err(), WrongIssuer);
}

/// Two issuers of one provider may share its keys: the issuer still decides for which tenants.
#[test]
fn issuers_that_share_a_key_are_told_apart() {
    let (acme, other) = (TenantId::new(), TenantId::new());
    let policies = [policy(ISSUER, OURS).for_tenants([other]), policy(PARTNER, OURS).for_tenants([acme])];
    let verifier = Verifier::any_of(policies).unwrap();
    assert!(verifier.verify(token_of(PARTNER, OURS, acme)).is_ok());
    assert!(verifier.verify(token_of(ISSUER, OURS, other)).is_ok());
    assert!(verifier.verify(token_of(PARTNER, OURS, other)).is_err());
    assert!(verifier.verify(token_of(ISSUER, OURS, acme)).is_err());
}

/// ASVS 9.2.3: what one verifier has remembered is nothing to another, nor to its own copy under another policy.
#[test]
fn a_token_under_two_policies_gets_two_verdicts() {
    let (notes, files) =
        (verifier(), Verifier::new(ISSUER, "files", [key(OURS).verifying_key().clone()]).unwrap());
    let token = token_of(ISSUER, OURS, TenantId::new());
    for _ in 0..3 {
        assert!(notes.verify(&token).is_ok());
        assert_eq!(files.verify(&token).unwrap_err(), WrongAudience);
    }
    let tenants = Verifier::any_of([policy(ISSUER, OURS).for_tenants([TenantId::new()])]).unwrap();
    assert_eq!(tenants.verify(&token).unwrap_err(), ForeignTenant);
    assert!(notes.verify(&token).is_ok());
}

/// ASVS 9.2.2: an ID token has the right signature and is none that opens anything.
#[test]
fn an_id_token_is_no_access_token() {
    let id_token = |typ: &str| signed(with(header(), json!({ "typ": typ })), claims());
    assert_eq!(verifier_now().verify(id_token("JWT")).unwrap_err(), WrongType);
    let keys = Keys::fixed([key(OURS).verifying_key().clone()]);
    let plain = Policy::new(ISSUER, AUDIENCE, TokenType::Plain, Algorithm::EdDsa, keys).unwrap();
    let plain = Verifier::any_of([plain]).unwrap().with_clock(Clock::manual(NOW));
    assert!(plain.verify(id_token("JWT")).is_ok(), "for issuers that write no better");
    assert_eq!(plain.verify(id_token("at+jwt")).unwrap_err(), WrongType, "one type for each policy");
    for other in ["logout+jwt", "dpop+jwt", "id+jwt", ""] {
        assert_eq!(plain.verify(id_token(other)).unwrap_err(), WrongType, "{other}");
    }
}
