//! The commands as an operator types them.

use shared_core::InTenant;

use super::*;
use crate::Schedule;
use crate::fixture::{Mail, everywhere, limited};

/// What a command says, and its exit code. A single space parts the words of the line; in quotes it does not.
async fn run(queues: &Queues, line: &str) -> (String, u8) {
    let args: Vec<String> = line
        .split('\'')
        .enumerate()
        .flat_map(|(n, part)| match n % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect();
    match answer(queues, &args).await {
        Ok(said) => said,
        Err(command_line::Ended::Misread(why)) => (format!("usage: {why}"), 2),
        Err(command_line::Ended::Failed(error)) => (error.to_string(), 2),
    }
}

#[tokio::test]
async fn queues_stand_in_columns() {
    everywhere(async |mut fixture| {
        fixture.dead(1).await;
        fixture.mail(1).await;
        let (said, code) = run(&fixture.queues, "queues").await;
        let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        let mail = lines.iter().find(|line| line[0] == "mail").unwrap();
        assert_eq!(lines[0], ["queue", "ready", "waiting", "scheduled", "running", "dead", "oldest"]);
        assert_eq!((&mail[..6], code), (&["mail", "1", "0", "0", "0", "1"][..], 0));
    })
    .await;
}

#[tokio::test]
async fn a_job_is_found_and_cancelled() {
    everywhere(async |fixture| {
        let job = fixture.mail(1).await;
        let tenant = fixture.tenant.context().tenant();
        let found =
            run(&fixture.queues, &format!("jobs --queue mail --tenant {tenant} --state ready --most 5"))
                .await
                .0;
        assert!(found.contains(&job.to_string()) && found.contains("mail:send"), "{found}");
        assert!(!run(&fixture.queues, "jobs --state dead").await.0.contains(&job.to_string()));
        let (one, code) = run(&fixture.queues, &format!("job {job}")).await;
        assert!(
            one.contains("state     ready\n") && one.contains("name      mail:send, version 1\n"),
            "{one}"
        );
        assert_eq!(code, 0);
        assert_eq!(run(&fixture.queues, &format!("reschedule {job} 0s")).await.1, 1, "it is due already");
        assert_eq!(
            run(&fixture.queues, &format!("cancel {job}")).await,
            ("it waited, and is gone\n".into(), 0)
        );
        assert_eq!(run(&fixture.queues, &format!("cancel {job}")).await.1, 1);
        assert_eq!(run(&fixture.queues, &format!("job {job}")).await, ("there is no such job\n".into(), 1));
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_brought_back_by_what_is_said_of_them() {
    everywhere(async |mut fixture| {
        let dead = fixture.dead(4).await;
        let queues = &fixture.queues;
        let (first, _) = run(queues, "dead --name mail:send --most 3").await;
        let (letters, next) = first.split_once("more: ").unwrap();
        assert_eq!(letters.lines().count(), 1 + 3);
        let (rest, _) = run(queues, &format!("dead --most 3 {next}")).await;
        assert_eq!(rest.lines().count(), 1 + 1);
        assert!(!letters.contains(&dead[0].to_string()) && rest.contains(&dead[0].to_string()), "{rest}");
        assert_eq!(run(queues, "dead --older-than 1h").await.0.lines().count(), 1);
        let one = format!("redrive --job {} --into bulk --rate 10", dead[2]);
        assert_eq!(run(queues, &one).await, ("1 jobs are back\n".into(), 0));
        assert_eq!(
            run(queues, "discard --reason failed --most 1").await,
            ("1 dead letters are gone\n".into(), 0)
        );
        assert_eq!(run(queues, "redrive --all").await, ("2 jobs are back\n".into(), 0));
        for vague in ["redrive", "discard", "discard --all --queue mail"] {
            let (said, code) = run(queues, vague).await;
            assert!(said.contains("--all, and not both") && code == 2, "{said}");
        }
        for nothing in ["redrive --older-than 0s", "discard --older-than 5us", "discard --queue ''"] {
            let (said, code) = run(queues, nothing).await;
            assert!(said.contains(" failed: expected ") && code == 2, "{nothing}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn queues_and_limits_are_steered() {
    everywhere(async |mut fixture| {
        let tenant = fixture.tenant.context().tenant();
        fixture.mails.enqueue_all([limited(1), limited(2), limited(3)]).await.unwrap();
        assert_eq!(run(&fixture.queues, "pause mail").await, ("paused\n".into(), 0));
        assert!(run(&fixture.queues, "queues").await.0.contains("paused"));
        run(&fixture.queues, "resume mail").await;
        run(&fixture.queues, &format!("pause mail --tenant {tenant}")).await;
        assert_eq!(fixture.claim("mail", 5).await, []);
        run(&fixture.queues, &format!("resume mail --tenant {tenant}")).await;
        let set = "limit host --key example.com --at-once 2 --rate 100/1s --burst 5";
        assert_eq!(run(&fixture.queues, set).await, ("set\n".into(), 0));
        assert_eq!(fixture.claim("mail", 5).await.len(), 2);
        let limits = run(&fixture.queues, "limits").await.0;
        assert!(limits.contains("example.com") && limits.contains("2 at once, 100/1s, burst 5"), "{limits}");
        let removed = run(&fixture.queues, "limit host --key example.com --none").await;
        assert_eq!(removed, ("removed\n".into(), 0));
        assert_eq!(fixture.claim_soon("mail", 1).await.len(), 1);
        assert!(!run(&fixture.queues, "limits").await.0.contains("at once"));
    })
    .await;
}

#[tokio::test]
async fn a_limit_is_held_and_let_go() {
    everywhere(async |mut fixture| {
        for of in ["host", "host --key example.com"] {
            fixture.mails.enqueue(limited(1)).await.unwrap();
            assert_eq!(run(&fixture.queues, &format!("hold {of} 30s")).await, ("held\n".into(), 0));
            assert_eq!(fixture.claim("mail", 5).await, []);
            assert_eq!(run(&fixture.queues, &format!("hold {of} 0s")).await.1, 0);
            assert_eq!(fixture.claim_soon("mail", 1).await.len(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_queue_is_limited_and_shared_by_weight() {
    everywhere(async |mut fixture| {
        let queues = fixture.queues.clone();
        for n in 0..3 {
            fixture.mail(n).await;
        }
        assert_eq!(run(&queues, "limit --queue mail --at-once 2").await, ("set\n".into(), 0));
        assert_eq!(fixture.claim("mail", 5).await.len(), 2);
        let limits = run(&queues, "limits").await.0;
        assert!(limits.contains("queue mail") && limits.contains("2 at once"), "{limits}");
        assert_eq!(run(&queues, "limit --queue mail --none").await, ("removed\n".into(), 0));
        assert_eq!(fixture.claim("mail", 5).await.len(), 1);
        assert!(!run(&queues, "limits").await.0.contains("queue mail"));

        let tenant = fixture.tenant.context().tenant();
        assert_eq!(run(&queues, &format!("weight mail --tenant {tenant} 4")).await, ("set\n".into(), 0));
        let share = fixture.share().await;
        assert!((70..=90).contains(&share), "{share} instead of 80");
    })
    .await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_next_attempt_is_retried() {
    everywhere(async |mut fixture| {
        let job = fixture.mail(1).await;
        let failed = fixture.claim("mail", 1).await;
        let hour = Duration::from_secs(3600);
        let retry = crate::backend::Fate::Retry { after: hour, error: "not today".to_owned() };
        fixture.settle("mail", &failed, retry).await;
        let retried = run(&fixture.queues, &format!("reschedule {job} 0s")).await;
        assert_eq!(retried, ("it has another time\n".into(), 0));
        assert_eq!(fixture.claim_soon("mail", 1).await, [job]);
    })
    .await;
}

#[tokio::test]
async fn schedules_are_changed() {
    everywhere(async |fixture| {
        let nightly = Schedule::cron("nightly", "0 3 * * *").job(&fixture.tenant, Mail { n: 1 });
        fixture.queues.schedules().put(nightly).await.unwrap();
        let queues = &fixture.queues;
        let (edited, code) =
            run(queues, "schedule mail nightly edit --cron '30 4 * * MON' --zone Europe/Zurich").await;
        assert!(edited.contains("30 4 * * MON") && edited.contains("Europe/Zurich") && code == 0, "{edited}");
        assert_eq!(run(queues, "schedule mail nightly pause").await, ("paused\n".into(), 0));
        assert!(run(queues, "schedules --queue mail").await.0.contains("paused"));
        assert_eq!(run(queues, "schedule mail nightly resume").await, ("resumed\n".into(), 0));
        assert!(!run(queues, "schedules --queue mail").await.0.contains("paused"));
        assert_eq!(run(queues, "schedule mail nightly remove").await, ("removed\n".into(), 0));
        assert_eq!(run(queues, "schedule mail nightly edit").await.1, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_understood_is_said_and_nothing_is_done() {
    let queues = Queues::memory();
    for (line, why) in [
        ("", "expected a command"),
        ("clear", "`clear` is no command"),
        ("jobs --most 1001", "--most: expected a number from 1 to 1000"),
        ("jobs --after 7", "--after: expected the word with which"),
        ("jobs --state asleep", "--state: expected ready, waiting"),
        ("jobs --reason failed", "--reason does not belong to this command"),
        ("jobs mail", "`mail` was not expected"),
        ("jobs --queue", "--queue needs a value"),
        ("jobs --queue a --queue b", "--queue comes twice"),
        ("job 7", "expected a job's id"),
        ("limit host", "expected --at-once or --rate, or --none"),
        ("limit host --at-once 1 --none", "expected --at-once or --rate, or --none"),
        ("limit host --burst 5", "--burst is the size"),
        ("limit host --rate 5", "--rate: expected a rate such as `100/1s`"),
        ("hold host soon", "expected a time such as `30s`"),
        ("weight mail 5", "expected --tenant"),
        ("schedule mail nightly skip", "expected `pause`"),
    ] {
        let (said, code) = run(&queues, line).await;
        assert!(said.starts_with("usage: ") && said.contains(why) && code == 2, "{line}: {said}");
    }
    let (said, code) = run(&queues, "limit host --at-once 0").await;
    assert_eq!((said.as_str(), code), ("setting a limit failed: expected 1 to a million jobs at once", 2));
    assert_eq!(run(&queues, "queues").await.0.lines().count(), 1);
}

#[tokio::test]
async fn words_of_others_do_not_steer_the_terminal() {
    everywhere(async |mut fixture| {
        fixture.mail(1).await;
        let jobs = fixture.claim("mail", 1).await;
        let error = "\u{1b}[2Jgone\nnext".to_owned();
        fixture.settle("mail", &jobs, crate::backend::Fate::Dead(Reason::Failed, error)).await;
        let said = run(&fixture.queues, "dead").await.0;
        assert!(said.contains(" [2Jgone next") && said.lines().count() == 2, "{said}");
    })
    .await;
}

#[tokio::test]
async fn an_error_has_a_code_of_its_own() {
    let queues = Queues::memory();
    assert_eq!(cli(&queues, ["queues".to_owned()]).await, ExitCode::SUCCESS);
    assert_eq!(cli(&queues, ["job".to_owned()]).await, ExitCode::from(2));
}
