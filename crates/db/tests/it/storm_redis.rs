//! The storm over Redis: every way of using it, over the shared connection and 4 of a pool.

use std::time::Duration;

use shared_db::redis::{Config, Redis, Script, cmd, pipe};
use shared_db::{Closed, Error};

use crate::storm::{Aftermath, Storm};

static ECHO: Script = Script::new("echo", "return ARGV[1]");

/// One of the ways to use a Redis. It returns what is wrong with the answer.
async fn use_it(redis: Redis, nonce: u64) -> Result<Result<(), String>, Error> {
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
    Ok(if answer == asked { Ok(()) } else { Err(format!("asked for {asked}, answered {answer}")) })
}

/// What the storm leaves of a Redis.
pub(crate) async fn redis(storm: Storm) -> Aftermath {
    let database = shared_devkit::Redis::shared().await.unwrap().database().await.unwrap();
    let mut config = Config::new(database.url());
    config.pool_size = 4;
    config.pool_timeout = Duration::from_secs(20);
    let redis = Redis::connect(&config).await.unwrap();
    let mut aftermath = storm.rage(8, |nonce| use_it(redis.clone(), nonce)).await;
    aftermath.keep_running(async || blocked(&redis).await).await;
    aftermath.discarded = redis.status().discarded;
    look_at_each(&mut aftermath, &redis).await;
    let closed = redis.close(Duration::from_secs(5)).await;
    if closed != Closed::default() {
        aftermath.running.push(format!("{closed:?}"));
    }
    aftermath
}

/// Takes all connections at once, and asks each. A watch that somebody has left would undo a transaction.
async fn look_at_each(aftermath: &mut Aftermath, redis: &Redis) {
    let mut held = Vec::new();
    for nonce in 0..4 {
        let mut connection = redis.get().await.unwrap();
        let answer = connection.command::<i64>(cmd("ECHO").arg(nonce)).await.unwrap();
        if answer != nonce {
            aftermath.poisoned.push(format!("answers {answer} for {nonce}"));
        }
        let () = redis.command(cmd("SET").arg("watched").arg(nonce)).await.unwrap();
        let done: Option<()> = connection.pipeline(pipe().atomic().cmd("PING").ignore()).await.unwrap();
        if done.is_none() {
            aftermath.leaked.push("a key is watched that nobody watches".to_owned());
        }
        held.push(connection);
    }
}

/// The clients of this database that wait for an element.
pub(crate) async fn blocked(redis: &Redis) -> Vec<String> {
    let own: String = redis.command(cmd("CLIENT").arg("INFO")).await.unwrap();
    let number = own.split(' ').find(|part| part.starts_with("db=")).unwrap();
    let all: String = redis.command(cmd("CLIENT").arg("LIST")).await.unwrap();
    let is_blocked =
        |client: &&str| client.split(' ').any(|part| part == number) && client.contains("flags=b");
    all.lines().filter(is_blocked).map(str::to_owned).collect()
}
