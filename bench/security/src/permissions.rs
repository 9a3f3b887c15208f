//! A permission check with its proof beside casbin-rs and Cedar: 20 roles with 50 permissions each, of which the caller has one.
#![expect(
    clippy::large_const_arrays,
    reason = "they are there while this is compiled, and not in the program"
)]
#![allow(long_running_const_eval, reason = "ten thousand names are looked up when it is compiled")]

use std::collections::HashSet;
use std::hint::black_box;
use std::str::from_utf8;

use casbin::{CachedEnforcer, CoreApi, DefaultModel, Enforcer, MemoryAdapter, MgmtApi};
use cedar_policy::{Authorizer, Context, Decision, Entities, Entity, PolicySet, Request};
use shared_core::TenantId;
use shared_security::{Algorithm, Grant, Issuer, Matrix, Permission, Principal, SigningKey, Verifier};

use bench_report::{line, lopsided_line};

const ROLES: usize = 20;
const PERMISSIONS: usize = 50;
/// The caller's role and what is asked for: in the middle, where the average lies.
const ROLE: usize = 10;
const ASKED: usize = 25;
const QUESTION: (&str, &str, &str) = ("user10", "thing25", "do");

const MODEL: &str = "
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
";

/// A matrix of 10,000 permissions, and one of ten.
const MANY: usize = 10_000;
const WIDTH: usize = "big:p0000".len();
const TEXT: [u8; MANY * WIDTH] = text();
const NAMES: &[&str] = &names(&TEXT);
const FEW: &[&str] = NAMES.split_at(10).0;

const fn text() -> [u8; MANY * WIDTH] {
    let (mut text, mut i) = ([0; MANY * WIDTH], 0);
    while i < MANY {
        let (mut digit, mut rest) = (WIDTH, i);
        while digit > 5 {
            digit -= 1;
            text[i * WIDTH + digit] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        while digit > 0 {
            digit -= 1;
            text[i * WIDTH + digit] = b"big:p"[digit];
        }
        i += 1;
    }
    text
}

const fn names(text: &'static [u8]) -> [&'static str; MANY] {
    let (mut names, mut i) = ([""; MANY], 0);
    while i < MANY {
        names[i] = match from_utf8(text.split_at(i * WIDTH).1.split_at(WIDTH).0) {
            Ok(name) => name,
            Err(_) => panic!("it is ASCII"),
        };
        i += 1;
    }
    names
}

static BIG: Matrix = {
    const INDEX: [u32; Matrix::slots(NAMES)] = Matrix::index(NAMES);
    Matrix::new("big", (NAMES, 0), &INDEX, &[], &[])
};
static SMALL: Matrix = {
    const INDEX: [u32; Matrix::slots(FEW)] = Matrix::index(FEW);
    Matrix::new("small", (FEW, 0), &INDEX, &[], &[])
};

struct OfMany;
impl Permission for OfMany {
    const SET: &'static Matrix = &BIG;
    const BIT: u32 = MANY as u32 - 1;
    const NAME: &'static str = NAMES[MANY - 1];
}

struct OfFew;
impl Permission for OfFew {
    const SET: &'static Matrix = &SMALL;
    const BIT: u32 = 9;
    const NAME: &'static str = FEW[9];
}

pub(crate) async fn compare() {
    let (many, few) = (principal(&BIG, OfMany::NAME), principal(&SMALL, OfFew::NAME));
    let check = || black_box(&many).proof::<OfMany>().is_some();
    assert!(check() && few.proof::<OfFew>().is_some() && few.proof::<OfMany>().is_none());

    let casbin = casbin().await;
    assert!(casbin.enforce(QUESTION).unwrap() && !casbin.enforce(("user10", "thing25", "undo")).unwrap());
    let name = "permission check with proof / casbin-rs, 20 x 50";
    lopsided_line(name, "<= 0.001, <= 5 ns", (100, 100_000), check, || casbin.enforce(QUESTION).unwrap())
        .await;

    let cached = cached_casbin().await;
    assert!(cached.enforce(QUESTION).unwrap());
    let hit = || cached.enforce(QUESTION).unwrap();
    lopsided_line("permission check with proof / its cache hit", "<= 0.0125", (20_000, 100), check, hit)
        .await;

    let (request, policies, entities) = cedar();
    let engine = Authorizer::new();
    let decide = || engine.is_authorized(&request, &policies, &entities).decision();
    assert_eq!(decide(), Decision::Allow);
    let name = "permission check with proof / Cedar, 20 policies";
    lopsided_line(name, "<= 0.0033", (2000, 1000), check, decide).await;

    let check_of_few = || black_box(&few).proof::<OfFew>().is_some();
    line("check of 10,000 permissions / of ten", "<= 1.2", 5_000_000, check, check_of_few).await;
    let owned = || black_box(&many).may::<OfMany>().is_some();
    line("owned proof (May) / borrowed (Proof)", "", 5_000_000, owned, check).await;
}

fn principal(matrix: &'static Matrix, permission: &str) -> Principal {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifier = Verifier::new("https://id.example", "notes", [key.verifying_key().clone()]).unwrap();
    let issuer = Issuer::new(key, "https://id.example", "notes");
    let token = issuer.issue(&Grant::new(TenantId::new(), "user:7").with_permissions([permission])).unwrap();
    Principal::new(verifier.verify(token.expose()).unwrap(), matrix, None)
}

fn rules() -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let permitted = |role: usize| {
        (0..PERMISSIONS)
            .map(move |thing| vec![format!("role{role}"), format!("thing{thing}"), "do".to_owned()])
    };
    let users = (0..ROLES).map(|role| vec![format!("user{role}"), format!("role{role}")]).collect();
    ((0..ROLES).flat_map(permitted).collect(), users)
}

async fn casbin() -> Enforcer {
    let model = DefaultModel::from_str(MODEL).await.unwrap();
    let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await.unwrap();
    let (rules, users) = rules();
    enforcer.add_policies(rules).await.unwrap();
    enforcer.add_grouping_policies(users).await.unwrap();
    enforcer
}

async fn cached_casbin() -> CachedEnforcer {
    let model = DefaultModel::from_str(MODEL).await.unwrap();
    let mut enforcer = CachedEnforcer::new(model, MemoryAdapter::default()).await.unwrap();
    let (rules, users) = rules();
    enforcer.add_policies(rules).await.unwrap();
    enforcer.add_grouping_policies(users).await.unwrap();
    enforcer
}

/// Parsed once, and with nothing to be put together per request: the best that Cedar can do.
fn cedar() -> (Request, PolicySet, Entities) {
    let permit = |role: usize| {
        let actions: Vec<String> =
            (0..PERMISSIONS).map(|thing| format!("Action::\"thing{thing}\"")).collect();
        format!("permit(principal in Role::\"role{role}\", action in [{}], resource);\n", actions.join(", "))
    };
    let policies: PolicySet = (0..ROLES).map(permit).collect::<String>().parse().unwrap();
    let uid = |text: String| text.parse().unwrap();
    let (user, role) = (uid(format!("User::\"user{ROLE}\"")), uid(format!("Role::\"role{ROLE}\"")));
    let user_entity = Entity::new_no_attrs(user, HashSet::from([role]));
    let user = user_entity.uid();
    let role = Entity::new_no_attrs(uid(format!("Role::\"role{ROLE}\"")), HashSet::new());
    let entities = Entities::from_entities([user_entity, role], None).unwrap();
    let action = uid(format!("Action::\"thing{ASKED}\""));
    let request = Request::new(user, action, uid("Thing::\"1\"".to_owned()), Context::empty(), None).unwrap();
    (request, policies, entities)
}
