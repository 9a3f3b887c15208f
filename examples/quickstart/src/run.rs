//! A run, from the start to the end.

use std::io::{self, Write};
use std::time::Duration;

use shared_service::core::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::Arguments;
use crate::launch::{Launched, launch};
use crate::plan::{Plan, Source};
use crate::report::progress::{Bar, Screen};
use crate::report::words;
use crate::service::Done;
use crate::settle::{self, Left};
use crate::summary::{self, Summary, Totals};
use crate::upload::{Counts, Uploaded, upload};
use crate::{searches, way};

/// How long the last spans may take to leave.
const FLUSH: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was done, or the run was asked to stop and stopped in order.
    Good,
    /// It came to its end, but something did not hold.
    Bad(String),
}

/// Does everything that was asked for, and ends after the summary, or with SIGTERM or Ctrl-C.
///
/// # Errors
/// What kept it from its end. Started again, it goes on where it was.
pub async fn run(arguments: Arguments) -> Result<End, Failure> {
    // Before anything slow, so that no signal is lost.
    let mut stop = Stop::listen()?;
    let screen = Screen::new();
    let source = Source { directory: arguments.directory.clone(), limit: arguments.limit };
    let planned = source.clone();
    let planning = tokio::task::spawn_blocking(move || Plan::of(&planned));
    let planning = async { planning.await? };
    let started = tokio::select! {
        started = async { tokio::try_join!(planning, launch(&arguments, &screen)) } => started,
        () = stop.received() => return Ok(End::Good),
    };
    let (plan, launched) = started?;
    let end = tokio::select! {
        end = work(&arguments, &source, &plan, &launched, &screen) => end,
        () = stop.received() => {
            screen.say("stopping: what is under way is finished");
            Ok(End::Good)
        }
    };
    let stopped = launched.running.stop().await;
    launched.telemetry.shutdown(FLUSH).await;
    match end {
        Ok(End::Good) if !stopped.is_clean() => {
            Ok(End::Bad(format!("something was cut off at the end: {stopped:?}")))
        }
        end => end,
    }
}

async fn work(
    arguments: &Arguments,
    source: &Source,
    plan: &Plan,
    launched: &Launched,
    screen: &Screen,
) -> Result<End, Failure> {
    let address = launched.running.address();
    screen.say(&format!("serving on http://{address} after {}", words::time(launched.times.all())));
    screen.say(&summary::plan(plan));
    let loaded = load(source, plan, launched, screen).await?;
    let end = show(source, plan, launched, loaded).await?;
    if end == End::Good && !arguments.once {
        print(&format!("\nSearch page: http://{address}/  (Ctrl-C ends it)\n"));
        std::future::pending::<()>().await;
    }
    Ok(end)
}

/// What has become of the documents, and what could not be done.
struct Loaded {
    counts: Counts,
    done: Done,
    left: Left,
}

/// Uploads everything, and waits until all of it took effect.
async fn load(source: &Source, plan: &Plan, launched: &Launched, screen: &Screen) -> Result<Loaded, Failure> {
    let running = &launched.running;
    let (uploaded, activity) = (Uploaded::default(), running.state().activity());
    let before = settle::left(running).await?;
    if before.jobs + before.events > 0 {
        let (jobs, events) = (words::counted(before.jobs, "job"), words::counted(before.events, "event"));
        screen.say(&format!("an earlier run left {jobs} and {events}: going on"));
    }
    let loading = async {
        upload(source, &launched.client, running.db(), &uploaded).await?;
        settle::settled(running).await
    };
    let left = screen.watch(loading, || bars(plan, before, uploaded.counts(), activity.done())).await?;
    Ok(Loaded { counts: uploaded.counts(), done: activity.done(), left })
}

/// Searches, proves, traces, and prints all of it.
async fn show(source: &Source, plan: &Plan, launched: &Launched, loaded: Loaded) -> Result<End, Failure> {
    let (Launched { client, embedder, times, .. }, Loaded { counts, done, left }) = (launched, loaded);
    let answers = searches::ask(client, plan, source.directory.is_none()).await?;
    let (best, searches) = (searches::best(&answers), &searches::times(&answers));
    let totals = Totals::of(client, plan).await?;
    let summary = Summary { embedder, plan, counts, done, left, totals, searches, times: *times };
    print(&format!("\n{}\n{}", summary.table(), summary::answers(&best)));
    let proofs = match best.first() {
        Some(answer) => searches::isolation(client, plan, answer).await?,
        None => Vec::new(),
    };
    print(&format!("\nWhose is whose\n{}", summary::proofs(&proofs)));
    let spans = way::of_a_note(&launched.running, client, &launched.recorder, counts).await?;
    let heading =
        "One document’s way, from the request to its effects: when each step began, and how long it took";
    print(&format!("\n{heading}\n{}", summary::way(&spans)));
    if !proofs.iter().all(|proof| proof.holds) {
        return Ok(End::Bad("a tenant could reach what is another's".to_owned()));
    }
    if !totals.is_exactly_once() || left.dead + left.parked > 0 {
        return Ok(End::Bad("not every upload was indexed and took effect once".to_owned()));
    }
    Ok(End::Good)
}

/// Until a document is uploaded it counts as one that has something new.
fn bars(plan: &Plan, before: Left, counts: Counts, done: Done) -> Vec<Bar> {
    let expected = plan.documents.saturating_sub(counts.unchanged);
    let rate = words::rate(done.chunks, done.working).map_or_else(String::new, |rate| format!(", {rate}/s"));
    vec![
        Bar {
            label: "upload",
            done: counts.all(),
            total: plan.documents,
            remark: if counts.unchanged > 0 {
                format!("{} as they were", words::count(counts.unchanged))
            } else {
                String::new()
            },
        },
        Bar {
            label: "index",
            done: done.jobs,
            total: (before.jobs + expected).max(done.jobs),
            remark: format!("{}{rate}", words::counted(done.chunks, "chunk")),
        },
        Bar {
            label: "events",
            done: done.effects,
            total: (before.events + expected).max(done.effects),
            remark: String::new(),
        },
    ]
}

/// A reader that is gone is no reason to fail.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// SIGTERM and Ctrl-C.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
