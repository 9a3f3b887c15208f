//! The subscriptions on a command line.

mod table;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use shared_core::command_line::{self, Misread, Options, done, parsed, said};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::cursor::Cursor;
use crate::delayed::{cancel_delayed, delayed_behind};
use crate::operate::MAX_LISTED;
use crate::{Error, ParkedFilter, ParkedState, Subscriptions, seal};

const USAGE: &str = "\
usage: <program> <command>
  subscriptions [PAGE]         how each stands: what waits, how old, what is parked
  lag SUBSCRIPTION             its lanes, and who has them
  explain SUBSCRIPTION         why it is late, and what to do
  pause SUBSCRIPTION           stop deliveries
  resume SUBSCRIPTION          let them go on
  retire SUBSCRIPTION          take it away, so that it holds nothing
  parked [WHICH] [--state retrying|waiting|dead] [PAGE]
                               what is put aside, the oldest first
  redrive WHICH|--all [--rate KEYS_PER_SECOND] [--most N]
                               try the first event of each key again, and those behind it
  discard WHICH|--all --why TEXT [--keys] [--most N]
                               throw the first event of each key away; with --keys, those behind it too
  days                         the days that the log has, and what keeps it from being shorter
  verify [--from SEAL]         hold the log against its seals; an error names the first that does not fit
  adopt                        let this server go on with the log of another, after an upgrade or the restore of a dump
  delayed [PAGE]               events that wait for their time, those due first at the front
  cancel TENANT ID             publish such an event never
  replay NAME [--since TIME | --place TICK-POS] [--tenant ID] [--key KEY] [--events NAME,NAME]
         [--rate EVENTS_PER_SECOND] [--until-now]
                               make a subscription that brings them once more
  projection NAME              how a projection stands
  projection NAME rebuild SUBSCRIPTION
  projection NAME switch|abandon

  WHICH  --subscription NAME, --consumer NAME, --tenant ID, --key KEY, --event NAME, --reason PART
  TIME   such as 2026-01-31T12:00:00Z
  PAGE   --most N, 100 if it is not said; --after WORD, with which the page before it ended
exit code: 0; 1 where what was named is not there; 2 for an error
";

/// Options that stand alone.
const FLAGS: [&str; 3] = ["all", "keys", "until-now"];

/// Things in a list if nothing is said.
const LISTED: u32 = 100;

/// The subscriptions as commands for operators: how they stand, why they are late, what is parked, replays and projections; to standard output,
/// and errors to standard error. Called without a command it says which there are. A program embeds it, as it does
/// [`shared_db::migration::cli`]:
///
/// ```no_run
/// # async fn run(db: shared_db::Db) -> std::process::ExitCode {
/// shared_events::cli(&shared_events::Subscriptions::new(&db), std::env::args().skip(1)).await
/// # }
/// ```
///
/// The exit code is 0; 1 where what was named is not there; 2 for an error.
pub async fn cli(subscriptions: &Subscriptions, args: impl IntoIterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.into_iter().collect();
    command_line::exit(answer(subscriptions, &args).await, USAGE)
}

type Answer = command_line::Answer<Error>;

async fn answer(subscriptions: &Subscriptions, args: &[String]) -> Answer {
    let mut options = Options::read(args, &FLAGS)?;
    match options.word("a command")? {
        "subscriptions" => all(subscriptions, options).await,
        "lag" => {
            let name = one_name(options)?;
            match subscriptions.subscription(name).lanes().await?.as_slice() {
                [] => done(false, ""),
                lanes => said(table::lanes(lanes)),
            }
        }
        "explain" => {
            let name = one_name(options)?;
            let subscription = subscriptions.subscription(name);
            match subscription.status().await? {
                None => done(false, ""),
                Some(_) => said(subscription.explain().await?.to_string()),
            }
        }
        "pause" => done(subscriptions.subscription(one_name(options)?).pause().await?, "paused"),
        "resume" => done(subscriptions.subscription(one_name(options)?).resume().await?, "resumed"),
        "retire" => done(subscriptions.subscription(one_name(options)?).retire().await?, "it is gone"),
        "parked" => parked(subscriptions, options).await,
        "redrive" => redrive(subscriptions, options).await,
        "discard" => discard(subscriptions, options).await,
        "days" => {
            options.end()?;
            said(table::days(&subscriptions.days().await?))
        }
        "verify" => {
            let from = options.value("from", "a seal's number", parsed)?.unwrap_or(1);
            options.end()?;
            let verified = seal::verify(&subscriptions.db, from).await?;
            said(format!("{} seals fit the log, over {} events\n", verified.seals, verified.events))
        }
        "adopt" => {
            options.end()?;
            let restamped = subscriptions.adopt().await?;
            said(format!("this server goes on with the log; {restamped} events were published here before\n"))
        }
        "delayed" => {
            let page = Page::read(&mut options, Cursor::delayed)?;
            options.end()?;
            let after = page.after.unwrap_or((OffsetDateTime::UNIX_EPOCH, Uuid::nil()));
            page.of(&delayed_behind(&subscriptions.db, after, page.most).await?, table::delayed)
        }
        "cancel" => {
            let tenant = options.next("a tenant's UUID", parsed)?;
            let id = options.next("the event's UUID", parsed)?;
            options.end()?;
            done(cancel_delayed(&subscriptions.db, tenant, id).await?, "cancelled")
        }
        "replay" => replay(subscriptions, options).await,
        "projection" => projection(subscriptions, options).await,
        other => Err(Misread::new(format!("`{other}` is no command")).into()),
    }
}

fn one_name(mut options: Options<'_>) -> Result<&str, Misread> {
    let name = options.word("a subscription")?;
    options.end()?;
    Ok(name)
}

/// Which part of a list is shown.
struct Page<P> {
    most: u32,
    after: Option<P>,
}

impl<P> Page<P> {
    fn read(options: &mut Options<'_>, place: impl Fn(Cursor) -> Option<P>) -> Result<Self, Misread> {
        let fits = |text: &str| text.parse().ok().filter(|most| (1..=MAX_LISTED).contains(most));
        let most = options.value("most", "a number from 1 to 1000", fits)?.unwrap_or(LISTED);
        let expected = "the word with which a page of this list ended";
        let after = options.value("after", expected, |word| Cursor::read(word).and_then(&place))?;
        Ok(Self { most, after })
    }

    /// The list, and how to see the rest of it.
    fn of<'a, T>(&self, all: &'a [T], table: impl Fn(&'a [T]) -> String) -> Answer
    where
        Cursor: From<&'a T>,
    {
        let more = Cursor::behind(all, self.most).map(|next| format!("more: --after {next}\n"));
        said(table(all) + more.as_deref().unwrap_or_default())
    }
}

async fn all(subscriptions: &Subscriptions, mut options: Options<'_>) -> Answer {
    let page = Page::read(&mut options, Cursor::subscription)?;
    options.end()?;
    let mut all = subscriptions.status().await?;
    all.retain(|one| page.after.as_ref().is_none_or(|after| one.name > *after));
    all.truncate(page.most as usize);
    page.of(&all, table::subscriptions)
}

fn filter(options: &mut Options<'_>) -> Result<ParkedFilter, Misread> {
    Ok(ParkedFilter {
        subscription: options.text("subscription").map(str::to_owned),
        consumer: options.text("consumer").map(str::to_owned),
        tenant: options.value("tenant", "a UUID", parsed)?,
        key: options.text("key").map(str::to_owned),
        event: options.text("event").map(str::to_owned),
        reason: options.text("reason").map(str::to_owned),
        state: None,
        after: None,
    })
}

/// What is to be changed is said: nobody throws everything away by a word that was forgotten.
fn said_filter(options: &mut Options<'_>) -> Result<ParkedFilter, Misread> {
    let (filter, every) = (filter(options)?, options.flag("all"));
    if (filter == ParkedFilter::new()) != every {
        return Err(Misread::new("expected which parked events, or --all, and not both"));
    }
    Ok(filter)
}

async fn parked(subscriptions: &Subscriptions, mut options: Options<'_>) -> Answer {
    let words = ParkedState::ALL.map(ParkedState::as_str).join(", ");
    let page = Page::read(&mut options, Cursor::parked)?;
    let state = options.value("state", &words, ParkedState::read)?;
    let filter = ParkedFilter { state, after: page.after.clone(), ..filter(&mut options)? };
    options.end()?;
    page.of(&subscriptions.parked(&filter, page.most).await?, table::parked)
}

async fn redrive(subscriptions: &Subscriptions, mut options: Options<'_>) -> Answer {
    let mut work = subscriptions.redrive(said_filter(&mut options)?);
    if let Some(rate) = options.value("rate", "keys per second, a number", parsed)? {
        work = work.at_rate(rate);
    }
    if let Some(most) = options.value("most", "a number", parsed)? {
        work = work.most(most);
    }
    options.end()?;
    said(format!("{} keys are tried again\n", work.await?))
}

async fn discard(subscriptions: &Subscriptions, mut options: Options<'_>) -> Answer {
    let filter = said_filter(&mut options)?;
    let why = options.text("why").ok_or_else(|| Misread::new("expected --why"))?;
    let most = options.value("most", "a number", parsed)?.unwrap_or(u64::MAX);
    let keys = options.flag("keys");
    options.end()?;
    let gone = match keys {
        true => subscriptions.discard_keys(&filter, why, most).await?,
        false => subscriptions.discard(&filter, why, most).await?,
    };
    said(format!("{gone} events are gone\n"))
}

async fn replay(subscriptions: &Subscriptions, mut options: Options<'_>) -> Answer {
    let mut replay = subscriptions.replay(options.word("a name for the subscription")?);
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let since = options.value("since", "a time such as 2026-01-31T12:00:00Z", time)?;
    let place = options.value("place", "a place such as 12-345", parsed)?;
    if since.is_some() && place.is_some() {
        return Err(Misread::new("expected --since or --place, and not both").into());
    }
    replay = since.into_iter().fold(replay, crate::Replay::since);
    replay = place.into_iter().fold(replay, crate::Replay::from_place);
    replay = options.value("tenant", "a UUID", parsed)?.into_iter().fold(replay, crate::Replay::tenant);
    replay = options.text("key").into_iter().fold(replay, crate::Replay::key);
    replay = options.text("events").into_iter().fold(replay, |replay, names| replay.events(names.split(',')));
    let rate = options.value("rate", "events per second, a number", parsed)?;
    replay = rate.into_iter().fold(replay, crate::Replay::at_rate);
    if options.flag("until-now") {
        replay = replay.until_now();
    }
    options.end()?;
    replay.await?;
    said("it is there; start a program that reads it\n")
}

async fn projection(subscriptions: &Subscriptions, mut options: Options<'_>) -> Answer {
    let projection = subscriptions.projection(options.word("a projection")?);
    let Ok(verb) = options.word("a verb") else {
        return match projection.status().await? {
            Some(status) => said(table::projection(&status)),
            None => Ok(("it was never rebuilt\n".to_owned(), 1)),
        };
    };
    let fed_by = if verb == "rebuild" { options.word("the subscription that feeds it")? } else { "" };
    options.end()?;
    match verb {
        "rebuild" => {
            let generation = projection.rebuild(fed_by).await?;
            said(format!(
                "generation {generation} is fed by subscription {}\n",
                projection.subscription(generation)
            ))
        }
        "switch" => said(format!("generation {} is live\n", projection.switch().await?)),
        "abandon" => done(projection.abandon().await?, "abandoned"),
        _ => Err(Misread::new("expected `rebuild`, `switch` or `abandon`").into()),
    }
}
