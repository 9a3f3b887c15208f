//! The commands as an operator types them.

use super::*;
use crate::fixture::Fixture;

/// What a command says, and its exit code. A single space parts the words of the line; in quotes it does not.
async fn run(world: &Fixture, line: &str) -> (String, u8) {
    let args: Vec<String> = line
        .split('\'')
        .enumerate()
        .flat_map(|(n, part)| match n % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect();
    match answer(&world.subscriptions, &args).await {
        Ok(said) => said,
        Err(command_line::Ended::Misread(why)) => (format!("usage: {why}"), 2),
        Err(command_line::Ended::Failed(error)) => (error.to_string(), 2),
    }
}

#[tokio::test]
async fn subscriptions_stand_in_columns() {
    let world = Fixture::new().await;
    for name in ["main", "other", "search"] {
        world.subscribe(name).await;
    }
    world.publish("a", "1 hour").await;
    world.relay("main", "{}").await;
    let (said, code) = run(&world, "subscriptions --most 2").await;
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["main", "consumers", "1", "1", "h", "0", "0", "1", "16"]);
    assert_eq!((lines.len(), code), (4, 0));
    let (rest, _) = run(&world, &format!("subscriptions --most 2 {}", lines[3][1..].join(" "))).await;
    assert!(rest.lines().count() == 2 && rest.contains("search"), "{rest}");
    let (lanes, _) = run(&world, "lag main").await;
    assert!(lanes.lines().count() == 17 && lanes.contains("in process 4711 on box"), "{lanes}");
}

#[tokio::test]
async fn one_is_explained_paused_and_retired() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.publish("a", "0").await;
    let (said, _) = run(&world, "explain main").await;
    assert!(said.contains("- no_relay: no relay of it is alive"), "{said}");
    assert_eq!(run(&world, "pause main").await, ("paused\n".into(), 0));
    assert!(run(&world, "subscriptions").await.0.contains("paused"));
    assert_eq!(run(&world, "resume main").await, ("resumed\n".into(), 0));
    assert_eq!(run(&world, "retire main").await, ("it is gone\n".into(), 0));
    for line in ["pause main", "resume main", "retire main", "explain main", "lag main"] {
        assert_eq!(run(&world, line).await, ("there is none of this name\n".into(), 1), "{line}");
    }
}

#[tokio::test]
async fn what_is_parked_is_redriven_or_discarded_by_what_is_said_of_it() {
    let world = Fixture::new().await;
    world.subscribe("main").await;
    world.park("main", "a", "\u{1b}[2Jgone", 1).await;
    world.park("main", "b", "timed out", 2).await;
    let (first, _) = run(&world, "parked --consumer digest --most 3").await;
    let (parked, next) = first.split_once("more: ").unwrap();
    assert!(parked.lines().count() == 4 && parked.contains(" [2Jgone"), "{parked}");
    assert_eq!(run(&world, &format!("parked --most 3 {next}")).await.0.lines().count(), 3);
    assert_eq!(run(&world, "parked --state dead").await.0.lines().count(), 3);
    assert_eq!(
        run(&world, "redrive --reason 'timed out' --rate 10").await,
        ("1 keys are tried again\n".into(), 0)
    );
    assert_eq!(run(&world, "discard --key a --why 'no use'").await, ("1 events are gone\n".into(), 0));
    assert_eq!(
        run(&world, "discard --all --keys --why 'no use' --most 5").await,
        ("3 events are gone\n".into(), 0)
    );
    world.park("main", "d", "no", 1).await;
    for nothing in
        ["redrive --reason ''", "discard --reason '' --why no", "discard --key a --event '' --keys --why no"]
    {
        let (said, code) = run(&world, nothing).await;
        assert!(said.contains("failed: expected words that are not empty") && code == 2, "{nothing}: {said}");
    }
    assert_eq!(world.states("d").await, "dead waiting");
    for vague in ["redrive", "discard --why no", "redrive --all --key a"] {
        let (said, code) = run(&world, vague).await;
        assert!(said.contains("--all, and not both") && code == 2, "{said}");
    }
}

#[tokio::test]
async fn replays_and_projections_are_begun() {
    let world = Fixture::new().await;
    let tenant = world.tenant;
    let line = format!(
        "replay again --since 2026-01-31T12:00:00Z --tenant {tenant} --key a --events note.created,note.gone --rate 10 --until-now"
    );
    assert_eq!(run(&world, &line).await, ("it is there; start a program that reads it\n".into(), 0));
    assert!(run(&world, "subscriptions").await.0.contains("replay over"));
    assert_eq!(run(&world, "projection digest").await, ("it was never rebuilt\n".into(), 1));
    let (said, _) = run(&world, "projection digest rebuild main").await;
    assert_eq!(said, "generation 2 is fed by subscription digest.2\n");
    assert!(run(&world, "projection digest").await.0.contains("building  2\n"));
    assert_eq!(run(&world, "projection digest switch").await, ("generation 2 is live\n".into(), 0));
    assert_eq!(run(&world, "projection digest abandon").await.1, 1);
}

#[tokio::test]
async fn days_are_listed_with_what_holds_them() {
    let world = Fixture::new().await;
    let (said, code) = run(&world, "days").await;
    assert_eq!((said.lines().count(), code), (3, 0), "today, and two ahead");
    assert_eq!(run(&world, "verify --from 1").await, ("0 seals fit the log, over 0 events\n".into(), 0));
    world.run("update shared_events.upkeep set held = 'the oldest is held by subscription main'").await;
    assert!(
        run(&world, "days").await.0.ends_with("can't be shorter: the oldest is held by subscription main\n")
    );
}

#[tokio::test]
async fn another_server_adopts_the_log() {
    let world = Fixture::new().await;
    world.run("update shared_events.tick_lock set server = 7").await;
    let (said, code) = run(&world, "adopt").await;
    assert_eq!(
        (said.as_str(), code),
        ("this server goes on with the log; 0 events were published here before\n", 0)
    );
    assert_eq!(world.text("select server <> 7 from shared_events.tick_lock").await, "true");
    world.run("update shared_events.tick set snap = '30000000000:30000000000:'").await;
    let (said, code) = run(&world, "adopt").await;
    assert!(said.contains("`pg_resetwal --epoch=7`") && code == 2, "{said}");
}

#[tokio::test]
async fn delayed_events_are_seen_and_cancelled() {
    let world = Fixture::new().await;
    world.delay(3).await;
    let (first, _) = run(&world, "delayed --most 2").await;
    let (delayed, next) = first.split_once("more: ").unwrap();
    assert!(delayed.lines().count() == 3 && delayed.contains("note.expired"), "{delayed}");
    let (rest, _) = run(&world, &format!("delayed --most 2 {next}")).await;
    let id = rest.lines().nth(1).unwrap().split_whitespace().last().unwrap();
    let cancel = format!("cancel {} {id}", world.tenant);
    assert_eq!(run(&world, &cancel).await, ("cancelled\n".into(), 0));
    assert_eq!(run(&world, &cancel).await.1, 1);
    assert_eq!(run(&world, "delayed").await.0.lines().count(), 3);
}

#[tokio::test]
async fn pages_of_delayed_events_end_however_far_their_times_are() {
    let world = Fixture::new().await;
    world.delay(3).await;
    world.run("update shared_events.delayed set due = due + interval '300 years'").await;
    let (first, _) = run(&world, "delayed --most 2").await;
    let (rest, _) = run(&world, &format!("delayed --most 2 {}", first.split_once("more: ").unwrap().1)).await;
    assert!(rest.lines().count() == 2 && !rest.contains("more: "), "{rest}");
}

#[tokio::test]
async fn what_is_not_understood_is_said_and_nothing_is_done() {
    let world = Fixture::new().await;
    for (line, why) in [
        ("", "expected a command"),
        ("clear", "`clear` is no command"),
        ("subscriptions --most 1001", "--most: expected a number from 1 to 1000"),
        ("parked --after 7", "--after: expected the word with which"),
        ("parked --state asleep", "--state: expected retrying, waiting, dead"),
        ("parked --why no", "--why does not belong to this command"),
        ("pause", "expected a subscription"),
        ("pause main other", "`other` was not expected"),
        ("discard --all", "expected --why"),
        ("cancel 7", "expected a tenant's UUID"),
        ("replay", "expected a name"),
        ("replay again --since yesterday", "--since: expected a time such as"),
        ("replay again --place 7", "--place: expected a place such as"),
        ("replay again --place 1-7 --since 2026-01-31T12:00:00Z", "--since or --place, and not both"),
        ("projection digest shred", "expected `rebuild`"),
        ("projection digest rebuild", "expected the subscription that feeds it"),
    ] {
        let (said, code) = run(&world, line).await;
        assert!(said.starts_with("usage: ") && said.contains(why) && code == 2, "{line}: {said}");
    }
    let (said, code) = run(&world, "redrive --all --rate 0").await;
    assert_eq!(
        (said.as_str(), code),
        ("redriving failed: expected a rate from 1 to a million keys per second", 2)
    );
    assert_eq!(run(&world, "subscriptions").await.0.lines().count(), 1);
}

#[tokio::test]
async fn an_error_has_a_code_of_its_own() {
    let world = Fixture::new().await;
    assert_eq!(cli(&world.subscriptions, ["subscriptions".to_owned()]).await, ExitCode::SUCCESS);
    assert_eq!(cli(&world.subscriptions, ["pause".to_owned()]).await, ExitCode::from(2));
}
