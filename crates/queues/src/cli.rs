//! The queues on a command line.

mod table;

use std::process::ExitCode;
use std::time::Duration;

use shared_core::TenantId;
use shared_core::command_line::{self, Misread, Options, done, parsed, said};
use shared_core::schema::Value;

use crate::cursor::Cursor;
use crate::{
    Cancelled, DeadFilter, Error, JobFilter, JobId, Limit, MAX_LISTED, MissedRuns, Queues, Rate, Reason,
    ScheduleEdit, ScheduleView, State,
};

const USAGE: &str = "\
usage: <program> <command>
  queues [PAGE]                how each queue stands
  jobs [WHICH] [--state STATE] [PAGE]
                               jobs, the latest first
  job ID                       one job
  cancel ID                    cancel it: one that waits is gone, one that runs is asked to end
  reschedule ID TIME           let it be due so long from now, if it is not due yet; 0s: at once
  dead [DEAD] [PAGE]           dead letters, the latest first
  redrive DEAD|--all [--into QUEUE] [--rate JOBS_PER_SECOND] [--most N]
                               bring them back, the oldest first
  discard DEAD|--all [--most N]
                               throw them away, the oldest first
  pause QUEUE [--tenant ID]    stop claims of the queue, or of one tenant's jobs in it
  resume QUEUE [--tenant ID]   let them go on
  weight QUEUE --tenant ID N   the tenant's share against that of others, from 1 to 100
  limits [PAGE]                limits, and their use
  limit NAME [--key KEY] LIMIT|--none
  limit --queue QUEUE LIMIT|--none
                               set a limit, or remove it
  hold NAME [--key KEY] TIME   admit nothing through a limit for so long; 0s ends it
  schedules [--queue QUEUE] [PAGE]
                               jobs by the calendar
  schedule QUEUE NAME pause|resume|remove
  schedule QUEUE NAME edit [--cron PATTERN] [--zone ZONE] [--missed skip|once|each]

  WHICH  --queue QUEUE, --name JOB, --tenant ID
  DEAD   WHICH, --job ID, --reason failed|exhausted|crashed|unreadable, --older-than TIME
  LIMIT  --at-once N, --rate N/TIME, --burst N
  TIME   500ms, 30s, 5m, 1h, 2d
  PAGE   --most N, 100 if it is not said; --after WORD, with which the page before it ended
exit code: 0; 1 where what was named is not there; 2 for an error
";

/// Options that stand alone.
const FLAGS: [&str; 2] = ["all", "none"];

/// Things in a list if nothing is said.
const LISTED: u32 = 100;

/// The queues as commands for operators: how they stand, jobs, dead letters, limits, schedules, and what changes them; to standard
/// output, and errors to standard error. Called without a command it says which there are. A program embeds it, as it does
/// [`shared_db::migration::cli`]:
///
/// ```no_run
/// # async fn run(queues: shared_queues::Queues) -> std::process::ExitCode {
/// shared_queues::cli(&queues, std::env::args().skip(1)).await
/// # }
/// ```
///
/// The exit code is 0; 1 where what was named is not there; 2 for an error.
pub async fn cli(queues: &Queues, args: impl IntoIterator<Item = String>) -> ExitCode {
    let args: Vec<String> = args.into_iter().collect();
    command_line::exit(answer(queues, &args).await, USAGE)
}

type Answer = command_line::Answer<Error>;

async fn answer(queues: &Queues, args: &[String]) -> Answer {
    let mut options = Options::read(args, &FLAGS)?;
    match options.word("a command")? {
        "queues" => {
            let page = Page::read(&mut options, Cursor::queue)?;
            options.end()?;
            let mut all = queues.status().await?;
            all.retain(|queue| page.after.as_ref().is_none_or(|after| queue.queue > *after));
            all.truncate(page.most as usize);
            page.of(&all, table::queues)
        }
        "jobs" => jobs(queues, options).await,
        "job" => job(queues, options).await,
        "cancel" => cancel(queues, options).await,
        "reschedule" => reschedule(queues, options).await,
        "dead" => dead(queues, options).await,
        "redrive" => redrive(queues, options).await,
        "discard" => discard(queues, options).await,
        "pause" => set_paused(queues, options, true).await,
        "resume" => set_paused(queues, options, false).await,
        "weight" => weight(queues, options).await,
        "limits" => {
            let page = Page::read(&mut options, Cursor::limit)?;
            options.end()?;
            page.of(&queues.limits_behind(page.after.as_ref(), page.most).await?, table::limits)
        }
        "limit" => limit(queues, options).await,
        "hold" => hold(queues, options).await,
        "schedules" => {
            let queue = options.text("queue");
            let page = Page::read(&mut options, Cursor::schedule)?;
            options.end()?;
            let mut all = queues.schedules().list(queue).await?;
            let is_next = |one: &ScheduleView, (queue, name): &(String, String)| {
                (&one.queue, &one.name) > (queue, name)
            };
            all.retain(|one| page.after.as_ref().is_none_or(|after| is_next(one, after)));
            all.truncate(page.most as usize);
            page.of(&all, table::schedules)
        }
        "schedule" => schedule(queues, options).await,
        other => Err(Misread::new(format!("`{other}` is no command")).into()),
    }
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

async fn jobs(queues: &Queues, mut options: Options<'_>) -> Answer {
    let words = State::ALL.map(State::as_str).join(", ");
    let page = Page::read(&mut options, Cursor::job)?;
    let filter = JobFilter {
        queue: options.text("queue").map(str::to_owned),
        name: options.text("name").map(str::to_owned),
        tenant: options.value("tenant", "a UUID", parsed)?,
        state: options.value("state", &words, State::read)?,
        after: page.after,
    };
    options.end()?;
    page.of(&queues.search(&filter, page.most).await?, table::jobs)
}

async fn job(queues: &Queues, mut options: Options<'_>) -> Answer {
    let job: JobId = options.next("a job's id", parsed)?;
    options.end()?;
    match queues.job(job).await? {
        Some(job) => said(table::job(&job)),
        None => Ok(("there is no such job\n".to_owned(), 1)),
    }
}

async fn cancel(queues: &Queues, mut options: Options<'_>) -> Answer {
    let job: JobId = options.next("a job's id", parsed)?;
    options.end()?;
    match queues.cancel(job).await? {
        Cancelled::Removed => said("it waited, and is gone\n"),
        Cancelled::Asked => said("it runs, and is asked to end\n"),
        Cancelled::NotFound => {
            Ok(("there is no such job: it is finished or dead, or never was\n".to_owned(), 1))
        }
    }
}

async fn reschedule(queues: &Queues, mut options: Options<'_>) -> Answer {
    let job: JobId = options.next("a job's id", parsed)?;
    let wait = options.next("a time such as `30s`", Duration::parse)?;
    options.end()?;
    match queues.reschedule(job, wait).await? {
        true => said("it has another time\n"),
        false => Ok(("there is no such job, or it is due already\n".to_owned(), 1)),
    }
}

fn dead_filter(options: &mut Options<'_>) -> Result<DeadFilter, Misread> {
    let words = Reason::ALL.map(Reason::as_str).join(", ");
    Ok(DeadFilter {
        job: options.value("job", "a UUID", parsed)?,
        queue: options.text("queue").map(str::to_owned),
        name: options.text("name").map(str::to_owned),
        tenant: options.value("tenant", "a UUID", parsed)?,
        reason: options.value("reason", &words, Reason::read)?,
        older_than: options.value("older-than", "a time such as `2d`", Duration::parse)?,
        after: None,
    })
}

/// What is to be changed is said: nobody throws everything away by a word that was forgotten.
fn said_filter(options: &mut Options<'_>) -> Result<DeadFilter, Misread> {
    let (filter, every) = (dead_filter(options)?, options.flag("all"));
    if (filter == DeadFilter::new()) != every {
        return Err(Misread::new("expected which dead letters, or --all, and not both"));
    }
    Ok(filter)
}

async fn dead(queues: &Queues, mut options: Options<'_>) -> Answer {
    let page = Page::read(&mut options, Cursor::letter)?;
    let filter = DeadFilter { after: page.after, ..dead_filter(&mut options)? };
    options.end()?;
    page.of(&queues.dead_letters(&filter, page.most).await?, table::dead)
}

async fn redrive(queues: &Queues, mut options: Options<'_>) -> Answer {
    let mut work = queues.redrive(said_filter(&mut options)?);
    if let Some(queue) = options.text("into") {
        work = work.into(queue);
    }
    if let Some(rate) = options.value("rate", "jobs per second, a number", parsed)? {
        work = work.at_rate(rate);
    }
    if let Some(most) = options.value("most", "a number", parsed)? {
        work = work.most(most);
    }
    options.end()?;
    said(format!("{} jobs are back\n", work.await?.len()))
}

async fn discard(queues: &Queues, mut options: Options<'_>) -> Answer {
    let filter = said_filter(&mut options)?;
    let most = options.value("most", "a number", parsed)?.unwrap_or(u64::MAX);
    options.end()?;
    said(format!("{} dead letters are gone\n", queues.discard(filter, most).await?))
}

async fn set_paused(queues: &Queues, mut options: Options<'_>, paused: bool) -> Answer {
    let queue = queues.queue(options.word("a queue")?);
    let tenant: Option<TenantId> = options.value("tenant", "a UUID", parsed)?;
    options.end()?;
    match (tenant, paused) {
        (Some(tenant), true) => queue.pause_tenant(tenant).await?,
        (Some(tenant), false) => queue.resume_tenant(tenant).await?,
        (None, true) => queue.pause().await?,
        (None, false) => queue.resume().await?,
    }
    said(if paused { "paused\n" } else { "resumed\n" })
}

async fn weight(queues: &Queues, mut options: Options<'_>) -> Answer {
    let queue = queues.queue(options.word("a queue")?);
    let tenant = options.value("tenant", "a UUID", parsed)?;
    let tenant = tenant.ok_or_else(|| Misread::new("expected --tenant"))?;
    let weight = options.next("a weight from 1 to 100", parsed)?;
    options.end()?;
    queue.weight(tenant, weight).await?;
    said("set\n")
}

async fn limit(queues: &Queues, mut options: Options<'_>) -> Answer {
    let queue = options.text("queue");
    let name = if queue.is_none() { Some(options.word("a limit's name, or --queue")?) } else { None };
    let key = if queue.is_none() { options.text("key") } else { None };
    let limit = a_limit(&mut options)?;
    let none = options.flag("none");
    options.end()?;
    if limit.is_some() == none {
        return Err(Misread::new("expected --at-once or --rate, or --none").into());
    }
    match (queue, name) {
        (Some(queue), _) => queues.queue(queue).limit(limit).await?,
        (None, name) => queues.set_limit(name.unwrap_or_default(), key, limit).await?,
    }
    said(if none { "removed\n" } else { "set\n" })
}

fn a_limit(options: &mut Options<'_>) -> Result<Option<Limit>, Misread> {
    let at_once = options.value("at-once", "a number of jobs", parsed)?;
    let rate = options.value("rate", "a rate such as `100/1s`", |text| {
        let (count, period) = text.split_once('/')?;
        Some((count.parse().ok()?, Duration::parse(period)?))
    })?;
    let burst = options.value("burst", "a number of jobs", parsed)?;
    if burst.is_some() && rate.is_none() {
        return Err(Misread::new("--burst is the size of a --rate's bucket"));
    }
    let rate = rate.map(|(count, period)| Rate { count, period, burst: burst.unwrap_or(count) });
    Ok((at_once.is_some() || rate.is_some()).then_some(Limit { concurrency: at_once, rate }))
}

async fn hold(queues: &Queues, mut options: Options<'_>) -> Answer {
    let name = options.word("a limit's name")?;
    let key = options.text("key");
    let time = options.next("a time such as `30s`", Duration::parse)?;
    options.end()?;
    queues.hold(name, key, time).await?;
    said("held\n")
}

async fn schedule(queues: &Queues, mut options: Options<'_>) -> Answer {
    let (queue, name) = (options.word("a queue")?, options.word("a schedule's name")?);
    let schedules = queues.schedules();
    match options.word("`pause`, `resume`, `remove` or `edit`")? {
        "edit" => {
            let edit = ScheduleEdit {
                cron: options.text("cron").map(str::to_owned),
                zone: options.text("zone").map(str::to_owned),
                missed: options.value("missed", "skip, once or each", MissedRuns::read)?,
            };
            options.end()?;
            match schedules.edit(queue, name, edit).await? {
                Some(schedule) => said(table::schedules(&[schedule])),
                None => done(false, ""),
            }
        }
        verb => {
            options.end()?;
            match verb {
                "pause" => done(schedules.pause(queue, name).await?, "paused"),
                "resume" => done(schedules.resume(queue, name).await?, "resumed"),
                "remove" => done(schedules.remove(queue, name).await?, "removed"),
                _ => Err(Misread::new("expected `pause`, `resume`, `remove` or `edit`").into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
