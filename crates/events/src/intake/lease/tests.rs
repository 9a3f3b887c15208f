use super::{Reader, TAKE, beat, begin, subscribe};
use crate::Config;
use crate::fixture::Fixture;

/// Else others would leave it its part of the lanes for a lease.
#[tokio::test]
async fn a_beat_that_comes_after_the_intake_has_left_changes_nothing() {
    let world = Fixture::new().await;
    let config = Config { subscription: "redis:events:main".to_owned(), ..Config::default() };
    let (db, group, reader) = (&world.db, config.subscription.as_str(), Reader::new());
    subscribe(db, group, "intake", None).await.unwrap();
    begin(db, group).await.unwrap();
    let owned = beat(db, &config, &reader).await.unwrap().owned;
    assert_eq!(owned.len(), 16);
    // Some of it were not given back.
    reader.leave(db, group).await.unwrap();
    let late = beat(db, &config, &reader).await.unwrap().owned;
    let taken = db.system().all(&TAKE, (group, reader.owner, 10.0, 16)).await.unwrap();
    assert_eq!((late.len(), taken.len()), (0, 0));
    let living = "select (select count(*) from shared_events.relay where expires > clock_timestamp())
                       + (select count(*) from shared_events.intake where owner is not null)";
    assert_eq!(world.text(living).await, "0");
}
