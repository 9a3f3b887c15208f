//! Who takes part, with all settings that are not the queue's own defaults.

use crate::drive::Settings;
use crate::scenarios::Scenario;
use crate::servers::Server;

pub(crate) enum Program {
    /// This one.
    Rust(&'static str),
    /// `peers/bullmq/driver.mjs`.
    BullMq,
}

pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    pub(crate) program: Program,
    pub(crate) settings: Settings,
    /// What is set.
    pub(crate) said: &'static str,
    /// Whether it needs a PostgreSQL with the extensions of the distribution.
    pub(crate) needs_extensions: bool,
    /// A floor has no worker that waits.
    waits: bool,
}

const fn contestant(
    name: &'static str,
    server: Server,
    program: Program,
    settings: Settings,
    said: &'static str,
) -> Contestant {
    Contestant { name, server, program, settings, said, needs_extensions: false, waits: true }
}

const FAIR: &str = "best, with the jobs of 100 tenants, who take turns";
const LIMITED: &str = "best, with 1,000 keys that are limited to 8 at once and 100,000 a second each";

const fn ours(name: &'static str, server: Server, settings: Settings, said: &'static str) -> Contestant {
    contestant(name, server, Program::Rust("ours"), settings, said)
}

pub(crate) const CONTESTANTS: &[Contestant] = &[
    ours("ours on Redis, defaults", Server::Redis, Settings::Defaults, "one worker, batches of 50"),
    ours("ours on Redis, best", Server::Redis, Settings::Best, "the same with batches of 100"),
    ours("ours on Redis, fair", Server::Redis, Settings::Fair, FAIR),
    ours("ours on Redis, limited", Server::Redis, Settings::Limited, LIMITED),
    ours("ours on Redis, both", Server::Redis, Settings::FairAndLimited, "best, with both of these"),
    ours(
        "ours on PostgreSQL, defaults",
        Server::Postgres,
        Settings::Defaults,
        "pool of 10, one worker, batches of 50",
    ),
    ours(
        "ours on PostgreSQL, best",
        Server::Postgres,
        Settings::Best,
        "the same with a pool of 16, batches of 100",
    ),
    ours("ours on PostgreSQL, fair", Server::Postgres, Settings::Fair, FAIR),
    ours("ours on PostgreSQL, limited", Server::Postgres, Settings::Limited, LIMITED),
    ours("ours on PostgreSQL, both", Server::Postgres, Settings::FairAndLimited, "best, with both of these"),
    contestant(
        "BullMQ, defaults",
        Server::Redis,
        Program::BullMq,
        Settings::Defaults,
        "bullmq 6.7.0, ioredis 6.0.0, Node of the machine; one worker",
    ),
    contestant(
        "BullMQ, best",
        Server::Redis,
        Program::BullMq,
        Settings::Best,
        "the same with removeOnComplete and removeOnFail, at most 100 events kept; enableAutoPipelining makes 50 callers slower, and \
         calls of addBulk with 100 to 5,000 jobs are alike",
    ),
    contestant(
        "apalis-redis, defaults",
        Server::Redis,
        Program::Rust("apalis-redis"),
        Settings::Defaults,
        "1.0.0, batch 10, locks and events on, spawned handlers; poll of 100 ms, since without one it looks again after 30 s; \
         a backlog is made ready outside of the time, since it can't do that to some thousands",
    ),
    contestant(
        "apalis-redis, best",
        Server::Redis,
        Program::Rust("apalis-redis"),
        Settings::Best,
        "the same with batches of 500, no locks, no events, a poll of 10 ms (at 1 ms, by its own strategy or by a stream of ticks, it sleeps \
         with jobs waiting; and its events tell of no job that was pushed)",
    ),
    contestant(
        "graphile_worker, defaults",
        Server::Postgres,
        Program::Rust("graphile"),
        Settings::Defaults,
        "0.14.1 on sqlx, pool of 20, poll of 1 s: a backlog drains at the concurrency's number of jobs a poll",
    ),
    contestant(
        "graphile_worker, best",
        Server::Postgres,
        Program::Rust("graphile"),
        Settings::Best,
        "the same with a pool of 50, two local queues of 1,000 (one of 2,000 for one slot), completions batched for 1 ms, \
         a poll of 5 ms; for the latency no local queue, LISTEN/NOTIFY",
    ),
    contestant(
        "riverqueue, defaults",
        Server::Postgres,
        Program::Rust("river"),
        Settings::Defaults,
        "0.5.0 on sqlx, pool of 10, cooldown of 100 ms, poll of 1 s",
    ),
    contestant(
        "riverqueue, best",
        Server::Postgres,
        Program::Rust("river"),
        Settings::Best,
        "the same with a pool of 50, a cooldown of 1 ms, a poll of 10 ms, no time-out of jobs, producers without \
         notifications; for the latency with them, also at a cooldown of 1 ms",
    ),
    Contestant {
        needs_extensions: true,
        ..contestant(
            "apalis-postgres, defaults",
            Server::Postgres,
            Program::Rust("apalis-postgres"),
            Settings::Defaults,
            "1.0.0 on sqlx, pool of 10, batch 10, locks on, spawned handlers; poll of 100 ms, since without one it looks \
             again after 30 s",
        )
    },
    Contestant {
        needs_extensions: true,
        ..contestant(
            "apalis-postgres, best",
            Server::Postgres,
            Program::Rust("apalis-postgres"),
            Settings::Best,
            "the same with a pool of 50, batches of 1,000, no locks, a poll of 10 ms; for the latency its LISTEN/NOTIFY",
        )
    },
    Contestant {
        waits: false,
        ..contestant(
            "the floor",
            Server::Postgres,
            Program::Rust("floor"),
            Settings::Best,
            "no queue: bare inserts into two columns; 100 rows claimed by an update and deleted by the next statement, \
             8 connections, each statement committed by itself; nothing is run and nothing fenced",
        )
    },
];

impl Contestant {
    /// The defaults are asked for where most begin, and the best everywhere.
    pub(crate) fn takes_part(&self, server: Server, scenario: Scenario) -> bool {
        let here = match server {
            Server::Redis => self.server == Server::Redis,
            Server::RedisAof => self.server == Server::Redis && self.settings == Settings::Best,
            Server::Postgres => self.server == Server::Postgres,
        };
        here && match (scenario, self.settings) {
            (Scenario::Flow { .. }, settings) => self.is_ours() && settings != Settings::Defaults,
            (Scenario::Latency, Settings::Defaults | Settings::Best) => self.waits,
            (scenario, Settings::Defaults) => scenario.is_usual(),
            (_, settings) => settings == Settings::Best,
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with("ours")
    }

    /// Whether a worker of it waits for jobs while there is none.
    pub(crate) fn waits(&self) -> bool {
        self.waits && matches!(self.settings, Settings::Defaults | Settings::Best)
    }

    /// Whether this program was built with it.
    pub(crate) fn is_built(&self) -> bool {
        cfg!(feature = "peers") || self.is_ours() || !self.waits
    }
}
