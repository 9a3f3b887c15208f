//! A process that is killed between the rotation and its answer. This test is its own victim.

use std::env;
use std::time::Duration;

use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_security::{Revocations, SessionConfig, Sessions};

use crate::world::{USER, World, connect, refresh, revocation_config};

const DATABASE: &str = "SECURITY_TEST_DATABASE";
const TOKEN: &str = "SECURITY_TEST_TOKEN";

#[tokio::test]
async fn a_refresh_that_was_killed_is_repeated_with_the_same_token() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let revocations = Revocations::in_process(revocation_config());
        let sessions = Sessions::new(db, revocations, SessionConfig::default()).unwrap();
        refresh(&sessions, &env::var(TOKEN).unwrap()).await.unwrap();
        return std::future::pending().await;
    }
    let points = ["db.commit.sending", "db.commit.answered", "security.refresh.committed"];
    let kills = Matrix::new(points).moments(3, Duration::ZERO..Duration::from_millis(60), 7);
    let report = kills.run(a_refresh_is_killed_and_repeated).await.unwrap();
    assert_eq!(report.total("refreshed"), 6);
}

async fn a_refresh_is_killed_and_repeated(kill: Kill) -> Outcome {
    let world = World::new().await;
    let first = world.open(USER).await;
    let victim = Child::test_function("kill::a_refresh_that_was_killed_is_repeated_with_the_same_token");
    let victim = victim.env(DATABASE, world.database.url()).env(TOKEN, first.refresh_token.expose());
    victim.kill(kill).start().unwrap().killed().await.unwrap();

    let repeated = world.refresh(first.refresh_token.expose()).await;
    let again = world.refresh(first.refresh_token.expose()).await;
    let same = match (&repeated, &again) {
        (Ok(one), Ok(two)) => one.refresh_token.expose() == two.refresh_token.expose(),
        _ => false,
    };
    let next = match &repeated {
        Ok(one) => world.refresh(one.refresh_token.expose()).await.is_ok(),
        Err(_) => false,
    };
    Outcome::new()
        .count("refreshed", usize::from(repeated.is_ok()))
        .wrong("siblings", usize::from(!same))
        .wrong("ended", usize::from(!next))
}
