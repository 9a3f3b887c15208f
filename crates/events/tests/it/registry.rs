//! Programs that find each other.

use std::time::Duration;

use shared_core::Failure;
use shared_events::Error;
use shared_events::registry::{Change, Member, Registry, Role};

use crate::support::{Raised, World, connect, until};

/// Long enough to be renewed on a busy machine, and short enough to wait for its end.
const LEASE: Duration = Duration::from_secs(3);

fn counter() -> Member {
    Member::producer("counter", "1.4.0")
        .base_url("http://counter:8080")
        .capability("replay")
        .event::<Raised>()
}

#[tokio::test]
async fn a_program_is_found_with_what_it_says_of_itself_until_it_leaves() -> Result<(), Failure> {
    let world = World::new().await;
    let registry = Registry::new(world.db.clone());
    let registration = registry.register(counter()).await?;
    let _other = registry.register(Member::consumer("reader", "2").event::<Raised>()).await?;

    let found = registry.discover(Role::Producer).await?;
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((found.instance, found.name.as_str()), (registration.instance(), "counter"));
    assert_eq!((found.version.as_str(), found.base_url.as_deref()), ("1.4.0", Some("http://counter:8080")));
    assert_eq!((found.capabilities.as_slice(), found.is_healthy), (["replay".to_owned()].as_slice(), true));
    assert!(found.knows("counter.raised") && !found.knows("counter.lowered"));
    let types = registry.event_types().await?;
    assert_eq!((types.len(), types[0].name.as_str(), types[0].version), (1, "counter.raised", 1));

    registration.leave().await?;
    assert_eq!(registry.discover(Role::Producer).await?, []);
    assert_eq!(registry.members().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn signs_of_life_keep_it_healthy_and_without_them_it_expires() -> Result<(), Failure> {
    let world = World::new().await;
    let registry = Registry::new(world.db.clone()).lease(LEASE);
    let registration = registry.register(counter()).await?;
    let first = registry.members().await?.remove(0);
    // Past the end of the first lease, by the server's clock.
    until(async || registry.members().await.unwrap()[0].beat > first.beat + LEASE).await;
    assert_eq!(registry.discover(Role::Producer).await?.len(), 1);

    drop(registration);
    until(async || registry.discover(Role::Producer).await.unwrap().is_empty()).await;
    let listed = registry.members().await?;
    assert!(listed.len() == 1 && !listed[0].is_healthy, "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn an_entry_that_got_lost_comes_back() -> Result<(), Failure> {
    let world = World::new().await;
    let registry = Registry::new(world.db.clone()).lease(LEASE);
    let registration = registry.register(counter()).await?;
    world.superuser().await.batch_execute("delete from shared_events.member").await?;
    until(async || !registry.discover(Role::Producer).await.unwrap().is_empty()).await;
    registration.leave().await?;
    assert_eq!(registry.members().await?, []);
    Ok(())
}

#[tokio::test]
async fn who_comes_and_goes_is_told() -> Result<(), Failure> {
    let world = World::new().await;
    let registry = Registry::new(world.db.clone()).lease(LEASE);
    let elsewhere = Registry::new(connect(world.database.url(), 2).await).lease(LEASE);
    let here = registry.register(counter()).await?;
    let mut watch = registry.watch();
    let joined = |change, instance| matches!(change, Change::Joined(member) if member.instance == instance);
    let left = |change, instance| matches!(change, Change::Left(member) if member.instance == instance);

    assert!(joined(watch.next().await, here.instance()), "who is there comes first");
    let there = elsewhere.register(Member::hub("gateway", "1")).await?;
    assert!(joined(watch.next().await, there.instance()), "of another process");
    let instance = here.instance();
    here.leave().await?;
    assert!(left(watch.next().await, instance));
    let instance = there.instance();
    drop(there);
    assert!(left(watch.next().await, instance), "without a word");
    Ok(())
}

#[tokio::test]
async fn who_has_too_much_to_say_is_refused() {
    let world = World::new().await;
    let registry = Registry::new(world.db.clone());
    let many = (0..65).fold(Member::hub("hub", "1"), |member, n| member.capability(format!("c{n}")));
    for member in [
        Member::hub("", "1"),
        Member::hub("h".repeat(64), "1"),
        Member::hub("hub", ""),
        Member::hub("hub", "nul\0"),
        Member::hub("hub", "1").base_url("u".repeat(2001)),
        many,
    ] {
        let refused = registry.register(member).await.unwrap_err();
        assert!(matches!(refused, Error::Unregistrable(_)), "{refused}");
    }
    assert_eq!(registry.members().await.unwrap(), []);
}
