use super::LOOK;
use crate::fixture::Fixture;

/// Else an idle relay would use up the server's ids, and its own looks would move every snapshot.
#[tokio::test]
async fn an_idle_look_draws_no_transaction_id() {
    let world = Fixture::new().await;
    world.run("begin").await;
    world.run(&format!("prepare look as {}", LOOK.sql())).await;
    world.run("execute look (0, 'main', '{0,1,2,3}', 16)").await;
    assert_eq!(world.text("pg_current_xact_id_if_assigned() is null").await, "true");
    world.run("rollback").await;
}
