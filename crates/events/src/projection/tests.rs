use super::*;
use crate::ParkedFilter;
use crate::fixture::Fixture;
use shared_core::AssumedTenant;

#[tokio::test]
async fn a_projection_is_built_beside_the_live_one_and_switched_to() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.publish("a", "0").await;
    world.pass("main").await;
    let digest = world.subscriptions.projection("digest");
    assert_eq!(digest.status().await.unwrap(), None);
    assert_eq!(digest.rebuild("main").await.unwrap(), 2);
    assert_eq!(digest.subscription(2), "digest.2");
    let status = digest.status().await.unwrap().unwrap();
    assert_eq!((status.live, status.building, status.fed_by.as_str()), (1, Some(2), "main"));
    let refused = digest.rebuild("main").await.unwrap_err();
    assert!(refused.to_string().contains("being built already"), "{refused}");

    let behind = digest.switch().await.unwrap_err();
    assert!(behind.to_string().contains("16 of its lanes are behind"), "{behind}");
    world.pass("digest.2").await;
    world.park("digest.2", "a", "no", 0).await;
    let parked = digest.switch().await.unwrap_err();
    assert!(parked.to_string().contains("1 of its keys are parked"), "{parked}");
    world.subscriptions.discard(&ParkedFilter::new(), "a test", 1).await.unwrap();

    // Who reads in a transaction that began before sees it at its next statement: as of its commit.
    let proof = AssumedTenant::new(world.tenant, "a test has no token");
    let live = async || world.db.tenant(&proof).tx(async |tx| generation(tx, "digest").await).await.unwrap();
    assert_eq!(live().await, 1);
    assert_eq!(digest.switch().await.unwrap(), 2);
    assert_eq!(live().await, 2);
    let status = digest.status().await.unwrap().unwrap();
    assert_eq!((status.live, status.building, status.fed_by.as_str()), (2, None, "digest.2"));
    assert!(status.switched.is_some());
    let fed = world.subscriptions.subscription("digest.2").status().await.unwrap().unwrap();
    assert!(!fed.replay, "what comes from now on comes for the first time");
    assert!(digest.switch().await.unwrap_err().to_string().contains("no generation of it is being built"));
    assert_eq!(digest.rebuild("ignored").await.unwrap(), 3);
}

#[tokio::test]
async fn what_is_built_can_be_given_up() {
    let world = Fixture::new().await;
    let digest = world.subscriptions.projection("digest");
    assert!(!digest.abandon().await.unwrap());
    digest.rebuild("main").await.unwrap();
    assert!(digest.abandon().await.unwrap());
    // Its subscription is there still, so the next build has no name: and nothing is half done.
    assert!(digest.rebuild("main").await.unwrap_err().to_string().contains("`digest.2` already"));
    assert_eq!(digest.status().await.unwrap().unwrap().building, None);
    world.subscriptions.subscription("digest.2").retire().await.unwrap();
    assert_eq!(digest.rebuild("main").await.unwrap(), 2);
}
