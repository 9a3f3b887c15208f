//! Two engines, one answer.

use proptest::prelude::*;
use shared_core::TenantId;
use shared_security::{
    Algorithm, Authorizer, Cedar, Grant, Keys, Policy, Principal, Question, Rbac, Resource, TokenType,
    Undecided, Verifier, permissions,
};

use crate::support::{AUDIENCE, ISSUER, OURS, issuer, key, verifier};

permissions! {
    static SHOP = "shop" {
        ReadOrders = "orders:read", WriteOrders = "orders:write", CancelOrders = "orders:cancel",
        ReadStock = "stock:read", WriteStock = "stock:write", ReadBooks = "books:read",
    }
    system { CloseShop = "shop:close" }
    roles {
        Clerk = "clerk": [ReadOrders, ReadStock],
        Packer = "packer": [ReadStock, WriteStock],
        Seller = "seller" inherits Clerk: [WriteOrders],
        Manager = "manager" inherits Seller, Packer: [CancelOrders],
        Accountant = "accountant": [ReadBooks],
        Owner = "owner" inherits Manager, Accountant: [CloseShop],
    }
}

/// The same in Cedar's words: a policy a role, for what it comes to, and one for what a token names itself.
const POLICIES: &str = r#"
    permit(principal in Role::"clerk", action in [Action::"orders:read", Action::"stock:read"], resource);
    permit(principal in Role::"packer", action in [Action::"stock:read", Action::"stock:write"], resource);
    permit(principal in Role::"seller", action in [Action::"orders:read", Action::"stock:read", Action::"orders:write"], resource);
    permit(principal in Role::"manager", action in [Action::"orders:read", Action::"stock:read", Action::"orders:write",
        Action::"stock:write", Action::"orders:cancel"], resource);
    permit(principal in Role::"accountant", action == Action::"books:read", resource);
    permit(principal in Role::"owner", action, resource);
    permit(principal, action == Action::"orders:read", resource) when { principal.scope.contains("orders:read") };
    permit(principal, action == Action::"stock:write", resource) when { principal.scope.contains("stock:write") };
"#;

fn principal(roles: &[&str], scope: &[&str]) -> Principal {
    let grant = Grant::new(TenantId::new(), "user:7").with_roles(roles.to_vec()).with_permissions(scope);
    let token = issuer().issue(&grant).unwrap();
    Principal::new(verifier().verify(token.expose()).unwrap(), &SHOP, None)
}

fn asked<'q>(principal: &'q Principal, permission: &'q str) -> Question<'q> {
    Question::new(principal, permission, Resource::new("Order", "17"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// ASVS 8.2.1. Whatever roles and scope somebody has, Cedar's policies and the matrix decide the same of every permission.
    #[test]
    fn cedar_and_the_matrix_give_the_same_answers(
        roles in proptest::sample::subsequence(vec!["clerk", "packer", "seller", "manager", "accountant", "owner", "*"], 0..=4),
        scope in proptest::sample::subsequence(vec!["orders:read", "stock:write"], 0..=2),
    ) {
        let (cedar, who) = (Cedar::new(POLICIES).unwrap(), principal(&roles, &scope));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for permission in SHOP.permissions() {
                let built_in = Rbac.allows(&asked(&who, permission)).await.unwrap();
                let by_cedar = cedar.allows(&asked(&who, permission)).await.unwrap();
                assert_eq!(built_in, by_cedar, "{permission} with {roles:?} and {scope:?}");
            }
        });
    }
}

#[tokio::test]
async fn a_policy_may_look_at_the_resource_and_its_yes_is_a_proof() {
    let cedar = Cedar::new(
        r#"permit(principal, action == Action::"orders:cancel", resource is Order)
           when { resource has owner && resource.owner == "user:7" && resource.tenant == principal.tenant };"#,
    );
    let (cedar, who) = (cedar.unwrap(), principal(&[], &[]));
    let mine = Resource::new("Order", "17").owned_by("user:7");
    let may = who.require_by::<CancelOrders>(&cedar, mine).await.unwrap();
    assert_eq!((may.subject(), may.principal().tenant()), ("user:7", who.tenant()));
    for refused in [Resource::new("Order", "17").owned_by("user:8"), Resource::new("Order", "17")] {
        assert_eq!(who.require_by::<CancelOrders>(&cedar, refused).await.unwrap_err().status(), 403);
    }
}

/// Text that a caller chooses is a value in Cedar, and never a piece of a policy.
#[tokio::test]
async fn names_made_to_break_out_stay_names() {
    let cedar = Cedar::new(r#"permit(principal in Role::"owner", action, resource);"#).unwrap();
    let who = principal(&[], &[]);
    for id in [r#"17" in Role::"owner"#, "\0", "\\\"", "17\n);permit(principal,action,resource);", "ü"] {
        let answer = who.require_by::<ReadOrders>(&cedar, Resource::new("Order", id)).await;
        assert_eq!(answer.unwrap_err().status(), 403, "{id}");
    }
}

/// ASVS 16.5.3. An engine without an answer is a refusal, and its caller learns nothing else.
#[tokio::test]
async fn no_answer_is_a_refusal() {
    struct Away;
    impl Authorizer for Away {
        async fn allows(&self, _: &Question<'_>) -> Result<bool, Undecided> {
            Err(Undecided::new("nobody listens at its port"))
        }
    }
    let broken = Cedar::new(r#"permit(principal, action, resource) when { principal.salary > 3 };"#).unwrap();
    let who = principal(&["owner"], &[]);
    for problem in [
        who.require_by::<ReadOrders>(&Away, Resource::new("Order", "17")).await.unwrap_err(),
        who.require_by::<ReadOrders>(&broken, Resource::new("Order", "17")).await.unwrap_err(),
    ] {
        assert_eq!(problem.status(), 503);
        assert!(!problem.to_string().contains("port"), "{problem}");
    }
}

#[tokio::test]
async fn an_engine_gives_no_permission_of_another_matrix() {
    let cedar = Cedar::new("permit(principal, action, resource);").unwrap();
    let who = principal(&["owner"], &[]);
    assert!(who.require_by::<ReadBooks>(&cedar, Resource::new("Order", "17")).await.is_ok());
    let refused = who.require_by::<crate::support::ReadNotes>(&cedar, Resource::new("Note", "17")).await;
    assert_eq!(refused.unwrap_err().status(), 403);
}

#[test]
fn policies_that_are_none_are_refused_when_they_are_read() {
    let error = Cedar::new("permit(principal, action").unwrap_err();
    assert!(error.to_string().starts_with("the policies can't be read"), "{error}");
}

/// ASVS 8.4.1: a role that an engine knows by its name does not lead out of the tenants that the token's issuer speaks for.
#[tokio::test]
async fn an_engine_gives_nobody_what_the_tokens_issuer_can_not_give() {
    let (cedar, acme) = (Cedar::new(POLICIES).unwrap(), TenantId::new());
    let keys = Keys::fixed([key(OURS).verifying_key().clone()]);
    let policy = Policy::new(ISSUER, AUDIENCE, TokenType::Access, Algorithm::EdDsa, keys).unwrap();
    let token = issuer().issue(&Grant::new(acme, "user:7").with_roles(["owner"])).unwrap();
    for (policy, is_ours) in [(policy.clone(), true), (policy.for_tenants([acme]), false)] {
        let verified = Verifier::any_of([policy]).unwrap().verify(token.expose()).unwrap();
        let who = Principal::new(verified, &SHOP, None);
        let shop = Resource::new("Shop", "1");
        assert!(who.require_by::<WriteOrders>(&cedar, shop).await.is_ok());
        assert_eq!(who.require_by::<CloseShop>(&cedar, shop).await.is_ok(), is_ours);
    }
}
