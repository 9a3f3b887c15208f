//! What a remembered token must not outlive, with the steps of several callers in every order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use shared_core::{AssumedTenant, Clock, TenantId};
use time::macros::datetime;

use super::*;
use crate::keys::Supply;
use crate::{Algorithm, Grant, Issuer, Revocation, RevocationConfig, SigningKey, WhenStale};

const NOW: time::OffsetDateTime = datetime!(2026-11-21 12:00:00 UTC);

struct World {
    verifier: Verifier,
    supply: Supply,
    key: SigningKey,
    clock: Clock,
    revocations: Revocations,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let (keys, supply) = Keys::supplied(Duration::from_secs(30));
        supply.publish(vec![key.verifying_key().clone()]);
        let policy = Policy::new("issuer", "notes", TokenType::Access, Algorithm::EdDsa, keys).unwrap();
        let clock = Clock::manual(NOW);
        let revocations = Revocations::with_clock(RevocationConfig::new(WhenStale::Refuse), clock.clone());
        let verifier = Verifier::any_of([policy]).unwrap();
        let verifier = verifier.with_clock(clock.clone()).with_revocations(revocations.clone());
        Self { verifier, supply, key, clock, revocations }
    }

    fn token(&self) -> Vec<u8> {
        let issuer = Issuer::new(self.key.clone(), "issuer", "notes").with_clock(self.clock.clone());
        issuer.issue(&Grant::new(TenantId::new(), "user:7")).unwrap().expose().as_bytes().to_vec()
    }

    /// In this process alone, which has nothing to wait for.
    fn revoke(&self, token: &Verified) {
        let tenant = AssumedTenant::new(token.tenant(), "a test");
        let what = Revocation::Token(token.token_id().to_owned());
        self.revocations.revoke(&tenant, what).now_or_never().unwrap().unwrap();
    }

    fn cached(&self) -> usize {
        self.verifier.0.cache.len()
    }
}

/// What ends a token before its time.
#[derive(Clone, Copy, Debug)]
enum End {
    KeyRemoved,
    Revoked,
    Expired,
    ClockSteppedBack,
}

impl End {
    const ALL: [Self; 4] = [Self::KeyRemoved, Self::Revoked, Self::Expired, Self::ClockSteppedBack];

    fn happen(self, world: &mut World, token: &Verified) -> VerifyError {
        match self {
            Self::KeyRemoved => {
                world.supply.publish(Vec::new());
                VerifyError::UnknownKey
            }
            Self::Revoked => {
                world.revoke(token);
                VerifyError::Revoked
            }
            Self::Expired => {
                world.clock.advance(Duration::from_secs(630));
                VerifyError::Expired
            }
            Self::ClockSteppedBack => {
                let earlier = Clock::manual(NOW - Duration::from_secs(3600));
                Arc::make_mut(&mut world.verifier.0).clock = earlier;
                VerifyError::NotYetValid
            }
        }
    }
}

/// ASVS 7.4.1, 9.2.1: one caller checks a token and remembers it, in two steps; the token ends before, between or after
/// them. Whoever asks then is refused.
#[test]
fn no_order_of_steps_lets_a_token_outlive_its_end() {
    for end in End::ALL {
        for position in 0..=2 {
            let mut world = World::new();
            let token = world.token();
            let verified = world.verifier.0.check(&token).unwrap().verified;
            let (mut refused, mut entry) = (None, None);
            for step in 0..=2 {
                if step == position {
                    refused = Some(end.happen(&mut world, &verified));
                }
                match step {
                    0 => entry = world.verifier.0.check(&token).ok(),
                    1 => entry.take().into_iter().for_each(|entry| {
                        world.verifier.0.cache.insert(Digest::of(&token), entry);
                    }),
                    _ => {}
                }
            }
            for again in 0..3 {
                assert_eq!(world.verifier.verify(&token).err(), refused, "{end:?} at {position}, {again}");
            }
        }
    }
}

/// While others verify the token all the time, none of them gets it through once it was revoked or its key removed.
#[test]
fn no_stale_accept_under_load() {
    for removed in [false, true] {
        let world = World::new();
        for _ in 0..20 {
            world.supply.publish(vec![world.key.verifying_key().clone()]);
            let token = world.token();
            let (verified, over) = (world.verifier.verify(&token).unwrap(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                let ask = || {
                    loop {
                        let was_over = over.load(Ordering::SeqCst);
                        let answer = world.verifier.verify(&token);
                        if was_over {
                            return answer.is_err();
                        }
                    }
                };
                let askers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                if removed {
                    world.supply.publish(Vec::new());
                } else {
                    world.revoke(&verified);
                }
                over.store(true, Ordering::SeqCst);
                assert!(askers.into_iter().all(|asker| asker.join().unwrap()), "a stale accept");
            });
        }
    }
}

#[test]
fn a_remembered_token_costs_no_signature() {
    let world = World::new();
    let (token, other) = (world.token(), world.token());
    let entry = world.verifier.0.check(&other).unwrap();
    let expected = entry.verified.token_id().to_owned();
    // Nobody but a test puts the wrong one there: who finds it there has not looked at the signature.
    world.verifier.0.cache.insert(Digest::of(&token), entry);
    assert_eq!(world.verifier.verify(&token).unwrap().token_id(), expected);
}

#[test]
fn a_key_that_comes_back_is_believed_again() {
    let world = World::new();
    let token = world.token();
    assert!(world.verifier.verify(&token).is_ok());
    world.supply.publish(Vec::new());
    assert_eq!(world.verifier.verify(&token).unwrap_err(), VerifyError::UnknownKey);
    world.supply.publish(vec![world.key.verifying_key().clone()]);
    assert!(world.verifier.verify(&token).is_ok());
}

#[test]
fn refusals_are_not_remembered() {
    let world = World::new();
    let mut token = world.token();
    assert!(world.verifier.verify(&token).is_ok());
    let last = token.len() - 10;
    for byte in b'a'..=b'z' {
        token[last] = byte;
        let _ = world.verifier.verify(&token);
    }
    assert_eq!(world.cached(), 1);
}

/// 10,000 callers with right tokens take no more room than was given.
#[test]
fn what_is_remembered_has_a_bound() {
    let mut world = World::new();
    world.verifier = world.verifier.with_cache(128);
    let entry = world.verifier.0.check(&world.token()).unwrap();
    for n in 0..10_000_u32 {
        world.verifier.0.cache.insert(Digest::of(&n.to_le_bytes()), entry.clone());
    }
    assert!((64..=128).contains(&world.cached()), "{}", world.cached());

    world.verifier = world.verifier.with_cache(0);
    let token = world.token();
    assert!(world.verifier.verify(&token).is_ok() && world.verifier.verify(&token).is_ok());
    assert_eq!(world.cached(), 0);
}

/// Larger tokens take the room of several.
#[test]
fn what_is_remembered_has_a_bound_in_bytes() {
    let mut world = World::new();
    world.verifier = world.verifier.with_cache(128);
    let issuer = Issuer::new(world.key.clone(), "issuer", "notes").with_clock(world.clock.clone());
    let roles = (0..20).map(|n| format!("{n}{}", "x".repeat(200)));
    let token = issuer.issue(&Grant::new(TenantId::new(), "user:7").with_roles(roles)).unwrap();
    let entry = world.verifier.0.check(token.expose().as_bytes()).unwrap();
    assert!(entry.verified.size() > 4096);
    for n in 0..1000_u32 {
        world.verifier.0.cache.insert(Digest::of(&n.to_le_bytes()), entry.clone());
    }
    assert!((8..=31).contains(&world.cached()), "{}", world.cached());
}

/// A verifier with other rules decides for itself.
#[test]
fn a_changed_copy_remembers_nothing() {
    let world = World::new();
    let token = world.token();
    assert!(world.verifier.verify(&token).is_ok());
    assert_eq!(world.cached(), 1);
    let copy = world.verifier.clone().with_leeway(Duration::ZERO);
    assert_eq!((copy.0.cache.len(), world.cached()), (0, 1));
}

/// One key's source is asked for the token of another, and the first answer decides.
#[tokio::test]
async fn an_unknown_key_is_asked_for_and_then_believed() {
    let world = World::new();
    world.supply.publish(Vec::new());
    let token = world.token();
    let source = async {
        world.supply.wanted().await;
        world.supply.publish(vec![world.key.verifying_key().clone()]);
        world.supply.answer(true);
    };
    let (answer, ()) = tokio::join!(world.verifier.verify_or_fetch(&token), source);
    assert!(answer.is_ok());
}
