//! Refresh tokens: used once, retried safely, and of no use to a thief for long.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use shared_core::{InTenant, Secret};
use shared_security::{Device, RefreshError};

use crate::world::{CLIENT, USER, World, a_tenant, until};

/// ASVS 10.4.5. What browsers with several tabs do: they all come at once with the same token.
#[tokio::test]
async fn sixty_four_refreshes_at_once_have_one_successor_and_kill_nobody() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let token = first.refresh_token.expose();
    // They gather at the family's lock until as many are there as there are connections, about.
    let (holder, watch) = (world.holding("session").await, world.superuser().await);
    let (refreshed, ()) = tokio::join!(join_all((0..64).map(|_| world.refresh(token))), async {
        until(async || world.waiting(&watch).await >= 8).await;
        holder.batch_execute("commit").await.unwrap();
    });
    let successors: Vec<_> = refreshed.into_iter().map(|one| one.unwrap()).collect();
    let successor = successors[0].refresh_token.expose();
    assert!(successors.iter().all(|one| one.refresh_token.expose() == successor));
    assert_ne!(successor, token);

    let row = world.superuser().await;
    let row =
        row.query_one("select generation, ended_at is null from shared_security.session", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, true));
    assert!(world.refresh(successor).await.is_ok());
    assert!(!world.revocations.refuses(&world.access_token(&first)));
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let lost = world.refresh(first.refresh_token.expose()).await.unwrap();
    world.passes(Duration::from_secs(5)).await;
    let again = world.refresh(first.refresh_token.expose()).await.unwrap();
    assert_eq!(again.refresh_token.expose(), lost.refresh_token.expose());
    assert_eq!(again.session.id, first.session.id);
    assert_eq!(again.session.idle_until, again.session.refreshed_at + Duration::from_secs(7 * 24 * 60 * 60));
}

/// ASVS 10.4.5.
#[tokio::test]
async fn a_token_that_is_used_again_later_ends_its_family() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let second = world.refresh(first.refresh_token.expose()).await.unwrap();
    world.passes(Duration::from_secs(11)).await;
    let reused = world.refresh(first.refresh_token.expose()).await;
    assert!(matches!(reused, Err(RefreshError::Reused)), "{reused:?}");
    let after = world.refresh(second.refresh_token.expose()).await;
    assert!(matches!(after, Err(RefreshError::Ended)), "{after:?}");
    assert!(world.revocations.refuses(&world.access_token(&first)), "its access tokens end as well");
    assert!(world.sessions.list(&world.tenant, USER).await.unwrap().is_empty());
}

/// The grace window is for the token before the current one, and for no older one.
#[tokio::test]
async fn an_old_generation_is_refused_inside_the_grace_window() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let second = world.refresh(first.refresh_token.expose()).await.unwrap();
    let third = world.refresh(second.refresh_token.expose()).await.unwrap();
    let old = world.refresh(first.refresh_token.expose()).await;
    assert!(matches!(old, Err(RefreshError::Reused)), "{old:?}");
    let after = world.refresh(third.refresh_token.expose()).await;
    assert!(matches!(after, Err(RefreshError::Ended)), "{after:?}");
}

/// ASVS 7.4.1. Neither the current token nor the one before comes back after a log-out, however soon.
#[tokio::test]
async fn a_session_that_was_ended_is_over_inside_the_grace_window_too() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let second = world.refresh(first.refresh_token.expose()).await.unwrap();
    assert!(world.sessions.end(&world.tenant, USER, first.session.id).await.unwrap());
    for token in [&first, &second] {
        let refused = world.refresh(token.refresh_token.expose()).await;
        assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
    }
    let stored = world.superuser().await;
    let stored =
        stored.query_one("select successor is null from shared_security.session", &[]).await.unwrap();
    assert!(stored.get::<_, bool>(0), "nothing is kept of a secret");
}

/// Whoever of the two is ahead, the one behind ends both.
#[tokio::test]
async fn a_stolen_branch_and_an_honest_one_end_each_other() {
    let world = World::new().await;
    let stolen = world.open(USER).await;
    let ahead = world.refresh(stolen.refresh_token.expose()).await.unwrap();
    let ahead = world.refresh(ahead.refresh_token.expose()).await.unwrap();
    world.passes(Duration::from_secs(60)).await;
    let behind = world.refresh(stolen.refresh_token.expose()).await;
    assert!(matches!(behind, Err(RefreshError::Reused)), "{behind:?}");
    let ahead = world.refresh(ahead.refresh_token.expose()).await;
    assert!(matches!(ahead, Err(RefreshError::Ended)), "{ahead:?}");
}

/// Inside the window a thief gets what the client has, and no branch of their own: one of them is late sooner or later.
#[tokio::test]
async fn a_thief_inside_the_grace_window_gets_no_branch_of_their_own() {
    let world = World::new().await;
    let stolen = world.open(USER).await;
    let honest = world.refresh(stolen.refresh_token.expose()).await.unwrap();
    let thief = world.refresh(stolen.refresh_token.expose()).await.unwrap();
    assert_eq!(honest.refresh_token.expose(), thief.refresh_token.expose());
    let honest = world.refresh(honest.refresh_token.expose()).await.unwrap();
    world.passes(Duration::from_secs(11)).await;
    let late = world.refresh(thief.refresh_token.expose()).await;
    assert!(matches!(late, Err(RefreshError::Reused)), "{late:?}");
    let after = world.refresh(honest.refresh_token.expose()).await;
    assert!(matches!(after, Err(RefreshError::Ended)), "{after:?}");
}

/// ASVS 7.3.1 and 7.3.2, 10.4.8. Each refresh moves the idle time on, and none moves the absolute one.
#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_in_any_case() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let world = World::new().await;
    let idle = world.open(USER).await;
    world.passes(7 * DAY).await;
    let refused = world.refresh(idle.refresh_token.expose()).await;
    assert!(matches!(refused, Err(RefreshError::Expired)), "{refused:?}");

    let mut busy = world.open("user:8").await;
    for _ in 0..4 {
        world.passes(6 * DAY).await;
        busy = world.refresh(busy.refresh_token.expose()).await.unwrap();
    }
    world.passes(5 * DAY).await;
    busy = world.refresh(busy.refresh_token.expose()).await.unwrap();
    assert_eq!(busy.session.idle_until, busy.session.expires_at);
    world.passes(DAY).await;
    let refused = world.refresh(busy.refresh_token.expose()).await;
    assert!(matches!(refused, Err(RefreshError::Expired)), "{refused:?}");
    assert!(world.sessions.list(&world.tenant, "user:8").await.unwrap().is_empty());
}

/// ASVS 10.4.5. A token belongs to the client that it was issued to.
#[tokio::test]
async fn another_client_ends_the_session() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let token = Secret::new(first.refresh_token.expose());
    let other = world.sessions.refresh(&token, "other-app", &Device::default()).await;
    assert!(matches!(other, Err(RefreshError::OtherClient)), "{other:?}");
    let own = world.sessions.refresh(&token, CLIENT, &Device::default()).await;
    assert!(matches!(own, Err(RefreshError::Ended)), "{own:?}");
}

/// ASVS 8.4.1. The tenant stands in the token in the clear; with another one in its place the token is nobody's.
#[tokio::test]
async fn a_token_with_another_tenant_finds_nothing_and_harms_nobody() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let mut bytes = URL_SAFE_NO_PAD.decode(&first.refresh_token.expose()[3..]).unwrap();
    bytes[..16].copy_from_slice(a_tenant().context().tenant().as_uuid().as_bytes());
    let moved = world.refresh(&format!("sr_{}", URL_SAFE_NO_PAD.encode(bytes))).await;
    assert!(matches!(moved, Err(RefreshError::Unknown)), "{moved:?}");
    assert!(world.refresh(first.refresh_token.expose()).await.is_ok());
}

/// Nobody ends a session who never held a token of it: knowing its id, its user and its tenant is not enough.
#[tokio::test]
async fn a_made_up_token_harms_nobody() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let mut bytes = URL_SAFE_NO_PAD.decode(&first.refresh_token.expose()[3..]).unwrap();
    bytes[16..32].copy_from_slice(first.session.id.as_uuid().as_bytes());
    for token in [format!("sr_{}", URL_SAFE_NO_PAD.encode(bytes)), "sr_".to_owned(), String::new()] {
        let refused = world.refresh(&token).await;
        assert!(matches!(refused, Err(RefreshError::Unknown)), "{refused:?}");
    }
    assert!(world.refresh(first.refresh_token.expose()).await.is_ok());
}

/// Whoever reads the table, or a backup of it, can refresh nothing.
#[tokio::test]
async fn the_table_holds_no_secret() {
    let world = World::new().await;
    let first = world.open(USER).await;
    let second = world.refresh(first.refresh_token.expose()).await.unwrap();
    let row = world.superuser().await;
    let row = row.query_one("select s::text from shared_security.session s", &[]).await.unwrap();
    let stored: String = row.get(0);
    for token in [first, second] {
        let bytes = URL_SAFE_NO_PAD.decode(&token.refresh_token.expose()[3..]).unwrap();
        for part in [&bytes[16..32], &bytes[32..]] {
            let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!stored.contains(&hex));
        }
        assert!(!format!("{token:?}").contains(token.refresh_token.expose()));
    }
}
