//! Many events at once are sealed page by page, and each page shows what was changed in it.

use super::{page, verify};
use crate::Error;
use crate::fixture::Fixture;

const TEN: &str = "
    insert into shared_events.log (lane, id, tenant_id, name, version, key, payload, context)
    select n & 15, gen_random_uuid(), gen_random_uuid(), 'a.b', 1, 'key ' || n, '{}', '{}' from generate_series(1, 10) as n";
const CUT: &str = "insert into shared_events.tick (snap) values (pg_current_snapshot())";

#[tokio::test]
async fn what_is_sealed_page_by_page_is_verified_and_tampering_found_in_any_of_them() {
    let world = Fixture::new().await;
    for _ in 0..2 {
        world.run(TEN).await;
        world.run(CUT).await;
        // A tick that comes between two pages changes nothing: the batch is sealed to its end first.
        let mut pages = vec![page(&world.db, 4).await.unwrap()];
        world.run(CUT).await;
        while page(&world.db, 4).await.unwrap() {
            pages.push(true);
        }
        assert_eq!(pages, [true, true, true]);
    }
    assert!(!page(&world.db, 4).await.unwrap(), "there is nothing to seal");
    let verified = verify(&world.db, 1).await.unwrap();
    assert_eq!((verified.seals, verified.events, verified.gone), (6, 20, 0));
    assert_eq!(
        world.text("select string_agg(events::text, ' ' order by seal) from shared_events.seal").await,
        "4 4 2 4 4 2"
    );

    for key in ["key 1", "key 6", "key 10"] {
        let changed = async |payload: &str| {
            world.run("begin; alter table shared_events.log disable trigger append_only").await;
            let change = format!("update shared_events.log set payload = '{payload}' where key = '{key}'");
            world.run(&change).await;
            world.run("alter table shared_events.log enable trigger append_only; commit").await;
        };
        changed("{\"other\": 1}").await;
        let found = verify(&world.db, 1).await;
        assert!(matches!(found, Err(Error::Tampered { .. })), "{key}: {found:?}");
        changed("{}").await;
        verify(&world.db, 1).await.unwrap();
    }

    // Those before a page are forgotten with their time: then nothing can be said of the rest of its batch.
    world.run("delete from shared_events.seal where seal <= 1").await;
    let verified = verify(&world.db, 1).await.unwrap();
    assert_eq!((verified.seals, verified.gone), (3, 2));
}

/// Else a log that nobody has sealed for long would be looked through for each page.
#[tokio::test]
async fn of_many_transactions_a_seal_takes_the_first_and_looks_at_no_others() {
    let world = Fixture::new().await;
    for _ in 0..30 {
        world.run(TEN).await;
    }
    let open = world.session().await;
    open.run("begin").await;
    open.run(TEN).await;
    world.run(TEN).await;
    world.run(CUT).await;
    open.run("commit").await;
    // Of each lane five, or the first that has more.
    while page(&world.db, 80).await.unwrap() {}
    let largest: i64 = world.text("select max(events) from shared_events.seal").await.parse().unwrap();
    assert!(largest <= 80, "{largest}");
    assert_eq!(verify(&world.db, 1).await.unwrap().events, 310);
    world.run(CUT).await;
    while page(&world.db, 80).await.unwrap() {}
    assert_eq!(verify(&world.db, 1).await.unwrap().events, 320);
}
