//! What roles of the matrix come to, and why.

use serde_json::json;
use shared_core::TenantId;
use shared_security::{Because, Condition, Grant, Matrix, Permission, Principal, Proof, permissions};

use crate::support::{claims, header, issuer, signed, verifier, verifier_now, with};

permissions! {
    pub(crate) static DESK = "desk" {
        ReadNotes = "notes:read", WriteNotes = "notes:write", EraseNotes = "notes:erase", ReadBooks = "books:read",
        ManageRoles = "roles:manage",
    }
    system { ActAsUser = "users:impersonate", SuspendTenant = "tenants:suspend" }
    roles {
        Reader = "reader": [ReadNotes],
        Editor = "editor" inherits Reader: [WriteNotes],
        Admin = "admin" inherits Editor: [ManageRoles, EraseNotes],
        Operator = "operator": [ActAsUser, SuspendTenant],
    }
}

pub(crate) fn principal(roles: &[&str], scope: &[&str]) -> Principal {
    let grant = Grant::new(TenantId::new(), "user:7").with_roles(roles.to_vec()).with_permissions(scope);
    let token = issuer().issue(&grant).unwrap();
    Principal::new(verifier().verify(token.expose()).unwrap(), &DESK, None)
}

fn names(principal: &Principal) -> Vec<&'static str> {
    principal.permissions().names().collect()
}

/// ASVS 8.2.1.
#[test]
fn a_role_has_what_it_inherits_and_nothing_else() {
    assert_eq!(names(&principal(&["reader"], &[])), ["notes:read"]);
    assert_eq!(names(&principal(&["editor"], &[])), ["notes:read", "notes:write"]);
    assert_eq!(
        names(&principal(&["admin"], &[])),
        ["notes:read", "notes:write", "notes:erase", "roles:manage"]
    );
    assert_eq!(
        names(&principal(&["operator", "reader"], &["books:read"])),
        ["notes:read", "books:read", "users:impersonate", "tenants:suspend"]
    );
}

/// ASVS 8.2.1. Deny by default: neither a wildcard nor another spelling is a role.
#[test]
fn a_role_that_is_not_declared_counts_for_nothing() {
    let spellings = [
        "*",
        " ",
        "",
        "Editor",
        "editor ",
        "edito",
        "editor\0",
        "\u{ff45}ditor",
        "editor,admin",
        "notes:write",
    ];
    for role in spellings {
        let token = signed(header(), with(claims(), json!({ "scope": "", "roles": [role] })));
        // Some are no names at all, and their token is refused as a whole.
        let Ok(verified) = verifier_now().verify(token) else { continue };
        let who = Principal::new(verified, &DESK, None);
        assert_eq!((names(&who), who.roles().count()), (vec![], 0), "{role:?}");
    }
    let token = signed(header(), with(claims(), json!({ "scope": "", "roles": ["editor"] })));
    let who = Principal::new(verifier_now().verify(token).unwrap(), &DESK, None);
    assert_eq!(names(&who), ["notes:read", "notes:write"], "the one spelling");
}

#[test]
fn a_decision_says_which_role_and_which_grant_it_rests_on() {
    let who = principal(&["reader", "admin", "ghost"], &["books:read"]);
    let why = |permission| who.explain(permission).to_string();
    assert_eq!(why("books:read"), "books:read is granted by the token's scope");
    assert_eq!(why("notes:read"), "notes:read is granted by the role reader");
    assert_eq!(why("notes:write"), "notes:write is granted by the role admin, which inherits it from editor");
    assert_eq!(
        why("users:impersonate"),
        "users:impersonate is missing: neither the token's scope nor its roles (reader, admin) grant it; \
         unknown here or withdrawn: ghost"
    );
    assert_eq!(why("notes:*"), "notes:* is no permission of this service");
    assert!(matches!(who.explain("notes:*").because, Because::Unknown));
}

#[test]
fn an_explanation_says_the_same_as_the_check() {
    for roles in [&[][..], &["reader"], &["editor"], &["admin", "operator"], &["ghost"]] {
        let who = principal(roles, &["notes:write"]);
        for permission in DESK.permissions().iter().copied().chain(["notes:fly"]) {
            assert_eq!(
                who.explain(permission).is_allowed(),
                who.permissions().allows(permission),
                "{permission}"
            );
        }
    }
}

#[test]
fn many_are_checked_at_once_in_their_order() {
    let who = principal(&["editor"], &[]);
    let answers: Vec<bool> = who.check(["notes:write", "notes:erase", "notes:fly", "notes:read"]).collect();
    assert_eq!(answers, [true, false, false, true]);
}

#[test]
fn a_proof_is_as_large_as_a_reference() {
    assert_eq!(size_of::<Proof<'_, ReadNotes>>(), size_of::<&Principal>());
    let who = principal(&["reader"], &[]);
    let proof: Proof<'_, ReadNotes> = who.prove().unwrap();
    assert_eq!((proof.subject(), proof.to_may().subject()), ("user:7", "user:7"));
    assert_eq!(who.prove::<WriteNotes>().unwrap_err().status(), 403);
}

/// ASVS 8.2.1. A bit that the matrix does not have is nobody's, however large.
#[test]
fn a_bit_beyond_the_matrix_overflows_nothing() {
    struct Forged<const BIT: u32>;
    impl<const BIT: u32> Permission for Forged<BIT> {
        const SET: &'static Matrix = &DESK;
        const BIT: u32 = BIT;
        const NAME: &'static str = "notes:forged";
    }
    let who = principal(&["admin", "operator", "reader"], &[]);
    assert!(who.may::<Forged<0>>().is_some(), "the bit of notes:read");
    assert!(who.may::<Forged<3>>().is_none(), "the bit of books:read");
    assert!(who.may::<Forged<7>>().is_none() && who.may::<Forged<63>>().is_none());
    assert!(who.may::<Forged<64>>().is_none() && who.may::<Forged<{ u32::MAX }>>().is_none());
}

/// ASVS 8.2.2, 8.2.3.
#[test]
fn a_condition_looks_at_who_asks_and_what_for_and_says_which_rule_it_was() {
    struct Note {
        author: &'static str,
        locked: bool,
    }
    const AUTHOR: Condition<Note> =
        Condition::new("to be its author", |who, note| note.author == who.subject());
    const UNLOCKED: Condition<Note> = Condition::new("a note that is not locked", |_, note| !note.locked);
    let may = principal(&["editor"], &[]).require::<WriteNotes>().unwrap();
    let check = |author, locked| may.only_where(&Note { author, locked }, &[AUTHOR, UNLOCKED]);

    assert_eq!(check("user:7", false), Ok(()));
    let refused = check("user:8", true).unwrap_err();
    assert_eq!(refused.status(), 403);
    assert!(refused.to_string().ends_with("it needs: to be its author"), "{refused}");
    let refused = check("user:7", true).unwrap_err();
    assert!(refused.to_string().ends_with("it needs: a note that is not locked"), "{refused}");
}
