//! Futures that are dropped at any await leave no answer to somebody else.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use shared_db::redis::{Redis, Script, cmd, pipe};
use shared_db::{Closed, Error};

use super::shared::blocked;
use super::{connected, database};
use crate::cancel::{cancellations, cut_after, scattered};

static ECHO: Script = Script::new("echo", "return ARGV[1]");

/// One of the ways to use a Redis; every answer is checked.
async fn use_it(redis: &Redis, nonce: u64) -> Result<(), Error> {
    let asked = nonce.to_string();
    let answer: String = match nonce % 7 {
        0 => redis.command(cmd("ECHO").arg(&asked)).await?,
        1 => redis.pipeline::<(String,)>(pipe().cmd("ECHO").arg(&asked)).await?.0,
        2 => redis.script(&ECHO.keys([""; 0]).arg(&asked)).await?,
        3 => redis.get().await?.command(cmd("ECHO").arg(&asked)).await?,
        4 => {
            let mut connection = redis.get().await?;
            let () = connection.command(cmd("WATCH").arg("watched")).await?;
            connection.pipeline::<(String,)>(pipe().atomic().cmd("ECHO").arg(&asked)).await?.0
        }
        5 => {
            let mut connection = redis.get().await?;
            let wait = cmd("BLPOP").arg("nothing").arg(0.002).to_owned();
            let () = connection.wait(&wait, Duration::from_secs(1)).await?;
            connection.command(cmd("ECHO").arg(&asked)).await?
        }
        _ => {
            let mut connection = redis.get().await?;
            connection.wait::<()>(cmd("BLPOP").arg("nothing").arg(60), Duration::from_secs(60)).await?;
            asked.clone()
        }
    };
    assert_eq!(answer, asked, "the answer to another question");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dropped_futures_leave_no_answer_no_watch_and_nobody_who_waits() {
    let database = database().await;
    let redis = connected(database.url(), |config| {
        config.pool_size = 4;
        config.pool_timeout = Duration::from_secs(20);
    })
    .await;
    let tasks = (0..cancellations()).map(|nonce| {
        let redis = redis.clone();
        tokio::spawn(async move {
            // What waits for ever is given up by the clock, everything else at some poll.
            let used = tokio::time::timeout(Duration::from_millis(30), use_it(&redis, nonce));
            match cut_after(scattered(nonce) % 8, used).await {
                None | Some(Err(_)) => false,
                Some(Ok(done)) => done.map(|()| true).unwrap(),
            }
        })
    });
    let done: Vec<bool> = stream::iter(tasks).buffer_unordered(12).map(Result::unwrap).collect().await;
    let finished = done.iter().filter(|finished| **finished).count();
    assert!(
        finished > 0 && finished < done.len(),
        "{finished} of {} finished: that tests nothing",
        done.len()
    );
    assert!(redis.status().discarded > 0);

    crate::support::eventually(Duration::from_secs(1), async || blocked(&redis).await == 0).await;
    let mut held = Vec::new();
    for nonce in 0..4 {
        let mut connection = redis.get().await.unwrap();
        assert_eq!(connection.command::<i64>(cmd("ECHO").arg(nonce)).await.unwrap(), nonce);
        // A watch that somebody has left would undo this.
        let () = redis.command(cmd("SET").arg("watched").arg(nonce)).await.unwrap();
        let done: Option<()> = connection.pipeline(pipe().atomic().cmd("PING").ignore()).await.unwrap();
        assert_eq!(done, Some(()));
        held.push(connection);
    }
    drop(held);
    assert_eq!(redis.close(Duration::from_secs(5)).await, Closed::default());
}
