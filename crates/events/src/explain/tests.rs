//! Each cause, made to happen on a real server.

use std::time::Duration;

use shared_devkit::PostgresOptions;

use super::*;
use crate::fixture::Fixture;
use crate::{Kind, ParkedState};

async fn causes(world: &Fixture) -> Vec<Cause> {
    world.subscriptions.subscription("main").explain().await.unwrap().causes
}

fn names(causes: &[Cause]) -> Vec<&'static str> {
    causes.iter().map(Cause::name).collect()
}

#[tokio::test]
async fn where_nothing_is_wrong_nothing_is_said() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.relay("main", "{}").await;
    world.publish("a", "0").await;
    let explanation = world.subscriptions.subscription("main").explain().await.unwrap();
    assert_eq!(explanation.causes, []);
    let said = explanation.to_string();
    assert!(said.contains("1 events wait") && said.ends_with("nothing holds it up\n"), "{said}");
    let unknown = world.subscriptions.subscription("other").explain().await.unwrap_err();
    assert!(unknown.to_string().contains("there is none named `other`"), "{unknown}");
}

#[tokio::test]
async fn no_relay_is_alive() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.publish("a", "0").await;
    assert_eq!(names(&causes(&world).await), ["no_relay"]);
}

#[tokio::test]
async fn it_is_paused() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.relay("main", "{}").await;
    world.subscriptions.subscription("main").pause().await.unwrap();
    assert_eq!(causes(&world).await, [Cause::Paused]);
}

#[tokio::test]
async fn a_holder_does_not_move_its_lane() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.relay("main", "{}").await;
    world.publish("a", "2 minutes").await;
    world.run("update shared_events.cursor set moved = clock_timestamp() - interval '1 minute'").await;
    let found = causes(&world).await;
    assert!(
        matches!(&found[..], [Cause::StuckHolder { holder, .. }] if holder.pid == Some(4711)),
        "{found:?}"
    );
    let said = found[0].to_string();
    assert!(said.contains("has not moved for 1 min") && said.contains("process 4711 on box"), "{said}");
    world.run("update shared_events.cursor set owner = null, expires = '-infinity'").await;
    assert_eq!(names(&causes(&world).await), ["free_lane"]);
}

#[tokio::test]
async fn a_transaction_is_open() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    let writer = world.session().await;
    writer.run("set application_name = 'importer'; begin").await;
    writer.run(&world.publishing("a", "0")).await;
    let reader = world.session().await;
    reader.run("begin; select from shared_events.log").await;
    let found = causes(&world).await;
    let pid: u32 = writer.text("pg_backend_pid()").await.parse().unwrap();
    let [Cause::OpenTransaction { pid: its, application, open }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((*its, application.as_str()), (pid, "importer"), "and no reader, whom nothing waits for");
    assert!(*open >= Duration::from_secs(1));
    // Nobody else's events wait for it.
    world.publish("b", "0").await;
    assert_eq!(world.subscriptions.status().await.unwrap()[0].waiting, 1);
    writer.run("commit").await;
    assert_eq!(names(&causes(&world).await), ["no_relay"]);
}

#[tokio::test]
async fn a_transaction_was_prepared() {
    let world = Fixture::alone(PostgresOptions::new().setting("max_prepared_transactions", 2)).await;
    world.subscribe("main").await;
    world.run(&format!("begin; {}; prepare transaction 'left behind'", world.publishing("a", "0"))).await;
    let found = causes(&world).await;
    assert!(
        matches!(&found[..], [Cause::PreparedTransaction { gid, .. }] if gid == "left behind"),
        "{found:?}"
    );
    assert!(found[0].to_string().contains("`left behind`"));
    world.run("rollback prepared 'left behind'").await;
    assert_eq!(causes(&world).await, []);
}

#[tokio::test]
async fn a_key_is_parked() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.relay("main", "{}").await;
    world.park("main", "a", "no such \u{1b}[2Jnote", 3).await;
    let found = causes(&world).await;
    assert!(
        matches!(&found[..], [Cause::ParkedKey { events: 4, attempts: 5, state: ParkedState::Dead, .. }]),
        "{found:?}"
    );
    let said = found[0].to_string();
    assert!(said.contains("`digest` failed 5 times at key `a`") && !said.contains('\u{1b}'), "{said}");
}

#[tokio::test]
async fn a_breaker_is_open() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world
        .relay(
            "main",
            r#"{"sink": "redis", "breaker_open": true, "last_error": "connection refused", "more": 1}"#,
        )
        .await;
    let found = causes(&world).await;
    assert_eq!(names(&found), ["open_breaker"]);
    assert!(
        found[0].to_string().contains("`redis` fails")
            && found[0].to_string().ends_with("connection refused")
    );
}

/// The lane stands still for that, and nobody is told to end its relay.
#[tokio::test]
async fn somebody_else_has_written_to_a_lane() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.publish("a", "2 minutes").await;
    world.run("update shared_events.cursor set moved = clock_timestamp() - interval '1 minute'").await;
    let lane = world.text("select lane from shared_events.log").await;
    let state = format!(r#"{{"sink": "redis", "foreign": {{"{lane}": "take out 9-9", "77": "no lane"}}}}"#);
    world.relay("main", &state).await;
    let found = causes(&world).await;
    assert_eq!(names(&found), ["foreign_writer"]);
    let said = found[0].to_string();
    assert!(
        said.contains(&format!("lane {lane} of the sink `redis`")) && said.ends_with("take out 9-9"),
        "{said}"
    );
}

#[tokio::test]
async fn a_sink_or_a_consumer_is_slow() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.run("update shared_events.subscription set kind = 'sink'").await;
    world.relay("main", "{}").await;
    world.publish("a", "20 s").await;
    let found = causes(&world).await;
    assert!(matches!(&found[..], [Cause::Slow { kind: Kind::Sink, .. }]), "{found:?}");
    assert!(found[0].to_string().contains("its sink takes events slower"));
    world.run("update shared_events.subscription set kind = 'consumers'").await;
    let found = causes(&world).await;
    assert!(matches!(&found[..], [Cause::Slow { kind: Kind::Consumers, .. }]), "{found:?}");
    assert!(found[0].to_string().contains("its consumers take events slower"));
}

#[tokio::test]
async fn a_subscription_that_was_left_holds_the_log() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.publish("a", "3 days").await;
    let found = causes(&world).await;
    assert_eq!(names(&found), ["no_relay", "holds_retention"]);
    assert!(found[1].to_string().contains("3 days old"), "{}", found[1]);
}

#[tokio::test]
async fn a_replay_has_come_to_its_end() {
    let world = Fixture::new().await;
    world.subscriptions.replay("main").until_now().await.unwrap();
    assert_eq!(causes(&world).await, [Cause::ReplayIsOver]);
}
