//! Services that ask each other: for themselves, and on behalf of whoever asked them.

use shared_core::{Actor, Id, Site, TenantId};
use shared_security::{Error, Grant, Principal, SessionId, Verifier, VerifyError};

use crate::support::*;

fn principal(grant: &Grant) -> Principal {
    let token = issuer().issue(grant).unwrap();
    Principal::new(verifier().verify(token.expose()).unwrap(), &MATRIX, None)
}

#[test]
fn a_principal_says_everything_that_its_token_does() {
    let (tenant, site, session) = (TenantId::new(), Id::<Site>::new(), SessionId::new());
    let grant = Grant::new(tenant, "user:7")
        .with_site(site)
        .with_permissions(ReadNotes)
        .with_roles(["editor", "author"])
        .with_session(session)
        .with_authentication(NOW, ["pwd", "otp"])
        .with_actor("support:3");
    let who = principal(&grant);
    assert_eq!((who.tenant(), who.subject(), who.session()), (tenant, "user:7", Some(session)));
    assert_eq!(who.token().roles().collect::<Vec<_>>(), ["editor", "author"]);
    assert_eq!(who.methods().collect::<Vec<_>>(), ["pwd", "otp"]);
    assert_eq!(
        (who.authenticated_at(), who.delegate().map(Actor::as_str), who.client_id()),
        (Some(NOW), Some("support:3"), None)
    );
    assert_eq!(who.permissions().names().collect::<Vec<_>>(), ["notes:read"]);

    let plain = principal(&Grant::new(tenant, "user:7"));
    assert_eq!((plain.session(), plain.delegate(), plain.authenticated_at()), (None, None, None));
    assert_eq!((plain.token().roles().count(), plain.methods().count()), (0, 0));
}

/// RFC 9068, section 2.2: a client that speaks for itself is both subject and client.
#[test]
fn a_service_speaks_for_itself_within_a_tenant() {
    let tenant = TenantId::new();
    let who = principal(&Grant::for_client(tenant, "service:orders").with_permissions(ReadNotes));
    assert_eq!(
        (who.tenant(), who.subject(), who.client_id()),
        (tenant, "service:orders", Some("service:orders"))
    );
    assert_eq!(who.delegate(), None);
}

/// ASVS 10.3.1: a token that a service was shown is of no use to it towards the next one.
#[test]
fn each_service_is_an_audience_of_its_own() {
    let grant = Grant::for_client(TenantId::new(), "service:orders");
    let for_files = issuer().for_audience("files").issue(&grant).unwrap();
    assert_eq!(verifier().verify(for_files.expose()).unwrap_err(), VerifyError::WrongAudience);
    let files = Verifier::new(ISSUER, "files", [key(OURS).verifying_key().clone()]).unwrap();
    assert!(files.verify(for_files.expose()).is_ok());
}

/// Tenant, site, session and login travel along, so that ending the session ends what was done in its name.
#[test]
fn a_service_acts_on_behalf_of_its_caller_and_says_so() {
    let (tenant, site, session) = (TenantId::new(), Id::<Site>::new(), SessionId::new());
    let user = Grant::new(tenant, "user:7").with_site(site).with_session(session);
    let user = principal(&user.with_authentication(NOW, ["pwd"]).with_permissions((ReadNotes, WriteNotes)));
    let next = principal(&Grant::on_behalf_of(&user, "service:orders").with_permissions(ReadNotes));
    assert_eq!((next.tenant(), next.context().site(), next.subject()), (tenant, Some(site), "user:7"));
    assert_eq!((next.session(), next.authenticated_at()), (Some(session), Some(NOW)));
    assert_eq!(
        (next.delegate().map(Actor::as_str), next.client_id()),
        (Some("service:orders"), Some("service:orders"))
    );
    assert!(next.may::<ReadNotes>().is_some());
    assert!(next.may::<WriteNotes>().is_none(), "nothing is handed on that was not named");
}

#[test]
fn names_that_would_spoil_a_log_are_not_written() {
    let grant = || Grant::new(TenantId::new(), "user:7");
    let long = "x".repeat(256);
    for bad in ["", "two\nlines", &long] {
        for (claim, grant) in [
            ("roles", grant().with_roles([bad])),
            ("amr", grant().with_authentication(NOW, [bad])),
            ("act", grant().with_actor(bad)),
        ] {
            let refused = issuer().issue(&grant);
            assert!(
                matches!(refused, Err(Error::Claim { claim: named, .. }) if named == claim),
                "{claim} {bad}"
            );
        }
        // A client is its own subject.
        assert!(
            matches!(issuer().issue(&Grant::for_client(TenantId::new(), bad)), Err(Error::Subject)),
            "{bad}"
        );
    }
}
