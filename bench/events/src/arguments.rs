//! What is asked for on the command line.

use std::time::Duration;

/// In the order in which they are run.
const PARTS: [&str; 13] = [
    "publish",
    "writers",
    "drain",
    "wal",
    "latency",
    "flood",
    "turns",
    "poison",
    "pinned",
    "inbox",
    "idle",
    "kill",
    "retention",
];
/// What is only run when it is asked for, since it takes minutes and gigabytes.
const SPECIAL: [&str; 1] = ["memory"];

pub(crate) struct Arguments {
    parts: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// For how long a snapshot is held, and a writer left open.
    pub(crate) pin: Duration,
    /// Events in the backlog whose memory is asked for.
    pub(crate) backlog: u64,
}

impl Arguments {
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let (mut parts, mut quick) = (Vec::new(), false);
        let (mut rounds, mut pin, mut backlog) = (None, None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => quick = true,
                "--rounds" => rounds = Some(number(words.next())?),
                "--pin" => pin = Some(number(words.next())?),
                "--backlog" => backlog = Some(number(words.next())?),
                part if PARTS.contains(&part) || SPECIAL.contains(&part) => parts.push(word.clone()),
                other => {
                    let known = [&PARTS[..], &SPECIAL].concat().join(", ");
                    return Err(format!("no such part: `{other}`; there are {known}"));
                }
            }
        }
        let rounds = rounds.unwrap_or(if quick { 1 } else { 5 });
        Ok(Self {
            parts,
            quick,
            rounds: usize::try_from(rounds).map_err(|error| error.to_string())?.max(1),
            pin: Duration::from_secs(pin.unwrap_or(if quick { 2 } else { 600 })),
            backlog: backlog.unwrap_or(if quick { 10_000 } else { 1_000_000 }),
        })
    }

    /// The parts that are asked for, in their order.
    pub(crate) fn parts(&self) -> Vec<&'static str> {
        let named = |part: &&str| self.parts.iter().any(|one| one == part);
        let wanted = |part: &&str| named(part) || self.parts.is_empty();
        PARTS.into_iter().filter(wanted).chain(SPECIAL.into_iter().filter(named)).collect()
    }

    /// So many, or few where it is only tried.
    pub(crate) fn many(&self, count: u64) -> u64 {
        if self.quick { (count / 50).max(20) } else { count }
    }

    /// So long, or a moment where it is only tried.
    pub(crate) fn long(&self, seconds: u64) -> Duration {
        if self.quick { Duration::from_millis(500) } else { Duration::from_secs(seconds) }
    }
}

fn number(word: Option<&String>) -> Result<u64, String> {
    let word = word.ok_or("a number is missing")?;
    word.parse().map_err(|_| format!("`{word}` is no number"))
}
