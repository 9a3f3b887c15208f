//! One scenario: all queues in turn, round by round.

use std::time::Duration;

use crate::arguments::Arguments;
use crate::contestants::{CONTESTANTS, Contestant};
use crate::drive::Settings;
use crate::process::Process;
use crate::protocol::{Command, How};
use crate::report::percentile;
use crate::scenarios::{SMALL, Scenario};
use crate::servers::{Server, Servers};

/// What came out for one queue.
pub(crate) struct Entry {
    pub(crate) contestant: &'static Contestant,
    pub(crate) server: Server,
    /// One for each round: jobs a second, or microseconds for the latency.
    pub(crate) figures: Vec<Figure>,
    /// Why there is no figure.
    pub(crate) failure: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// Jobs a second, or the 99th percentile of the latency in microseconds.
    pub(crate) value: f64,
    /// The median of the latency, in microseconds.
    pub(crate) median: f64,
    /// CPU seconds for 100,000 jobs.
    pub(crate) client: f64,
    pub(crate) server: f64,
}

pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) entries: Vec<Entry>,
}

/// A queue that takes part in a scenario.
struct Runner<'a> {
    contestant: &'static Contestant,
    servers: &'a Servers,
    server: Server,
    scenario: Scenario,
    process: Process,
    jobs: u64,
}

/// Far more than a round is meant to take: half a minute is the longest, of the latency of a queue that polls.
const PATIENCE: Duration = Duration::from_secs(120);

/// All who take part, on each of these servers.
pub(crate) async fn run(
    arguments: &Arguments,
    servers: &Servers,
    on: &[Server],
    scenario: Scenario,
) -> Outcome {
    let mut entries = Vec::new();
    let mut runners = Vec::new();
    // Those that are compared come one after the other.
    let all = CONTESTANTS.iter().flat_map(|one| on.iter().map(move |server| (one, *server)));
    // Where servers are compared, everybody has to be on all of them.
    let takes_part = |one: &&'static Contestant| {
        arguments.invites(one) && on.iter().all(|server| one.takes_part(*server, scenario))
    };
    for (contestant, server) in all.filter(|(one, _)| takes_part(one)) {
        entries.push(Entry { contestant, server, figures: Vec::new(), failure: None });
        runners.push(match prepare(arguments, servers, server, scenario, contestant).await {
            Ok(runner) => Some(runner),
            Err(failure) => {
                entries.last_mut().unwrap().failure = Some(failure);
                None
            }
        });
    }
    for round in 0..arguments.rounds {
        for turn in 0..runners.len() {
            // Each round begins with another queue: the second finds the machine as the first left it.
            let at = (turn + round) % runners.len();
            let Some(runner) = &mut runners[at] else { continue };
            match runner.round(runner.jobs).await {
                Ok((_, figure)) => entries[at].figures.push(figure),
                Err(failure) => {
                    entries[at].failure = Some(failure);
                    runners[at] = None;
                }
            }
        }
    }
    Outcome { scenario, entries }
}

/// Starts the queue's process, and finds out how many jobs make a round: first a few, then more until they take long enough.
/// That also warms it up, and what is warm is faster; so one long enough round is not believed before a second one.
async fn prepare<'a>(
    arguments: &Arguments,
    servers: &'a Servers,
    server: Server,
    scenario: Scenario,
    contestant: &'static Contestant,
) -> Result<Runner<'a>, String> {
    let url = servers.url(contestant, server).ok_or("no server that it can use is installed")?;
    let process = Process::start(contestant, &url, scenario.aim()).await?;
    // Some take seconds for some dozens at their defaults.
    let first = if contestant.settings == Settings::Defaults { 20 } else { 500 };
    let mut runner = Runner { contestant, servers, server, scenario, process, jobs: first };
    let wanted = arguments.round().as_secs_f64();
    let bytes = match scenario {
        Scenario::Latency => {
            runner.jobs = if arguments.quick { 5 } else { 500 };
            return Ok(runner);
        }
        Scenario::Enqueue { bytes, .. } | Scenario::Drain { bytes, .. } => bytes,
        Scenario::Flow { .. } => SMALL,
    };
    let most = arguments.most_jobs(bytes);
    if arguments.quick {
        runner.jobs = most;
        return Ok(runner);
    }
    let mut long_enough = 0;
    while long_enough < 2 {
        let (seconds, figure) = runner.round(runner.jobs).await?;
        if seconds > wanted * 0.7 || runner.jobs >= most {
            long_enough += 1;
        }
        let fitting = (figure.value * wanted) as u64;
        runner.jobs = fitting.clamp(20, runner.jobs.saturating_mul(10)).min(most);
    }
    Ok(runner)
}

impl Runner<'_> {
    /// The seconds of the measured part, and the figures.
    async fn round(&mut self, jobs: u64) -> Result<(f64, Figure), String> {
        self.tell(Command::Clear).await?;
        let command = match self.scenario {
            Scenario::Enqueue { how, bytes } => Command::Enqueue { how, jobs, bytes },
            Scenario::Latency => Command::Latency { jobs },
            Scenario::Drain { at_once, bytes } => {
                self.fill(jobs, bytes).await?;
                Command::Drain { at_once, jobs, work: 0 }
            }
            Scenario::Flow { work } => {
                self.fill(jobs, SMALL).await?;
                Command::Drain { at_once: 50, jobs, work }
            }
        };
        let (client, server) = (self.process.cpu(), self.servers.cpu(self.contestant, self.server));
        let answer = self.tell(command).await?;
        let client = (self.process.cpu() - client).as_secs_f64();
        let server = (self.servers.cpu(self.contestant, self.server).saturating_sub(server)).as_secs_f64();
        let expected = match self.scenario {
            Scenario::Enqueue { .. } => Some(jobs),
            Scenario::Drain { .. } | Scenario::Flow { .. } => Some(0),
            Scenario::Latency => None,
        };
        let left = self.tell(Command::Left).await?.jobs;
        if expected.is_some_and(|expected| left != expected) {
            return Err(format!("the server has {left} jobs that are not completed"));
        }
        let micros: Vec<f64> = answer.micros.iter().map(|micros| *micros as f64).collect();
        let (median, p99) = (percentile(&micros, 50), percentile(&micros, 99));
        let value = if self.scenario == Scenario::Latency { p99 } else { jobs as f64 / answer.seconds };
        let hundred_thousand = 100_000.0 / jobs as f64;
        let figure =
            Figure { value, median, client: client * hundred_thousand, server: server * hundred_thousand };
        Ok((answer.seconds, figure))
    }

    /// A backlog, of which the planner knows.
    async fn fill(&mut self, jobs: u64, bytes: usize) -> Result<(), String> {
        self.tell(Command::Enqueue { how: How::Bulk, jobs, bytes }).await?;
        self.servers.analyze(self.contestant, self.server).await;
        Ok(())
    }

    async fn tell(&mut self, command: Command) -> Result<crate::protocol::Answer, String> {
        self.process.tell(&command, PATIENCE).await
    }
}
