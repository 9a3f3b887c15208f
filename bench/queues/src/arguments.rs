//! What is asked for on the command line.

use std::time::Duration;

use crate::contestants::Contestant;
use crate::drive::Settings;

/// In the order in which they are run.
const PARTS: [&str; 9] =
    ["redis", "aof", "postgres", "latency", "flow", "flood", "transaction", "idle", "pinned"];

pub(crate) struct Arguments {
    parts: Vec<String>,
    only: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// For how long a snapshot is held.
    pub(crate) pin: Duration,
}

impl Arguments {
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let (mut parts, mut only) = (Vec::new(), Vec::new());
        let (mut quick, mut rounds, mut pin) = (false, None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => quick = true,
                "--rounds" => rounds = Some(number(words.next())?),
                "--pin" => pin = Some(number(words.next())?),
                "--only" => only.push(words.next().ok_or("--only needs a name")?.clone()),
                part if PARTS.contains(&part) => parts.push(word.clone()),
                other => return Err(format!("no such part: `{other}`; there are {}", PARTS.join(", "))),
            }
        }
        let rounds = rounds.unwrap_or(if quick { 1 } else { 5 });
        let pin = Duration::from_secs(pin.unwrap_or(if quick { 3 } else { 180 }));
        Ok(Self {
            parts,
            only,
            quick,
            rounds: usize::try_from(rounds).map_err(|e| e.to_string())?.max(1),
            pin,
        })
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|one| one == part)
    }

    /// Whether this queue takes part. Of those that are only tried, the best of each is enough.
    pub(crate) fn invites(&self, contestant: &Contestant) -> bool {
        let named = |one: &String| contestant.name.starts_with(one.as_str());
        contestant.is_built()
            && (self.only.is_empty() || self.only.iter().any(named))
            && !(self.quick && contestant.settings == Settings::Defaults)
    }

    /// How long the measured part of a round should take at least, where the number of jobs may grow to that.
    pub(crate) fn round(&self) -> Duration {
        Duration::from_millis(if self.quick { 20 } else { 400 })
    }

    /// So many jobs in a round at most.
    pub(crate) fn most_jobs(&self, bytes: usize) -> u64 {
        match (self.quick, bytes > 1_000) {
            (true, _) => 1_000,
            (false, true) => 20_000,
            (false, false) => 150_000,
        }
    }
}

fn number(word: Option<&String>) -> Result<u64, String> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|_| format!("`{word}` is no number"))
}
