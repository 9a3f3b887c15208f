//! What is asked for on the command line.

use std::time::Duration;

const PARTS: [&str; 6] = ["redis", "aof", "postgres", "flow", "pinned", "transaction"];

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
        let rounds = rounds.unwrap_or(if quick { 3 } else { 5 });
        let pin = Duration::from_secs(pin.unwrap_or(if quick { 20 } else { 180 }));
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

    /// Whether this queue takes part.
    pub(crate) fn invites(&self, name: &str) -> bool {
        self.only.is_empty()
            || self.only.iter().any(|one| name.starts_with(one.as_str()) || one.starts_with(name))
    }

    /// How long the measured part of a round should take at least, where the number of jobs may grow to that.
    pub(crate) fn round(&self) -> Duration {
        Duration::from_millis(if self.quick { 200 } else { 1_500 })
    }

    /// So many jobs in a round at most.
    pub(crate) fn most_jobs(&self, bytes: usize) -> u64 {
        match (self.quick, bytes > 1_000) {
            (true, _) => 10_000,
            (false, true) => 50_000,
            (false, false) => 300_000,
        }
    }
}

fn number(word: Option<&String>) -> Result<u64, String> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|_| format!("`{word}` is no number"))
}
