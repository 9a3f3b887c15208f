//! `shared-devkit up | down | status | purge`, `psql`, `redis-cli`, `nats`: servers for local work.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::{env, process::ExitCode};

use shared_devkit::{Error, Instance};

const USAGE: &str = "\
usage: shared-devkit COMMAND [SERVER..] [--name NAME]

  up      start servers, keep them up, and print their environment lines
  down    stop them; their data stays
  status  say whether they are up
  purge   stop them and delete their data

SERVER is `postgres`, `redis` or `nats`; `postgres` where none is given.

usage: shared-devkit psql|redis-cli|nats [--name NAME] [-- ARGUMENTS]

  open a terminal on a server

NAME is `dev` where it is not given.";

fn main() -> ExitCode {
    let Some(call) = Call::parse(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    call.run().unwrap_or_else(|error| {
        eprintln!("shared-devkit: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            eprintln!("  because: {cause}");
            source = cause.source();
        }
        ExitCode::FAILURE
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Command {
    Up,
    Down,
    Status,
    Purge,
    Terminal,
}

#[derive(Clone, Copy, PartialEq)]
enum Server {
    Postgres,
    Redis,
    Nats,
}

/// What was asked for.
struct Call {
    command: Command,
    servers: Vec<Server>,
    name: String,
    rest: Vec<String>,
}

impl Call {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Call> {
        let (command, server) = Command::parse(&arguments.next()?)?;
        let mut call =
            Call { command, servers: server.into_iter().collect(), name: "dev".to_owned(), rest: Vec::new() };
        while let Some(argument) = arguments.next() {
            match (argument.as_str(), Server::parse(&argument)) {
                ("--name", _) => call.name = arguments.next()?,
                ("--", _) if command == Command::Terminal => call.rest.extend(arguments.by_ref()),
                (_, Some(server)) if command != Command::Terminal && !call.servers.contains(&server) => {
                    call.servers.push(server);
                }
                _ => return None,
            }
        }
        if call.servers.is_empty() {
            call.servers.push(Server::Postgres);
        }
        Some(call)
    }

    fn run(&self) -> Result<ExitCode, Error> {
        let mut code = ExitCode::SUCCESS;
        for server in &self.servers {
            let done = self.run_on(*server)?;
            if done != ExitCode::SUCCESS {
                code = done;
            }
        }
        Ok(code)
    }

    fn run_on(&self, server: Server) -> Result<ExitCode, Error> {
        let (instance, word, name) = (server.instance(&self.name)?, server.word(), &self.name);
        match self.command {
            Command::Up => {
                println!("{}={}", server.variable(), instance.up()?);
                eprintln!("{word} `{name}` is up until `shared-devkit down {word} --name {name}`");
            }
            Command::Down if instance.down()? => eprintln!("{word} `{name}` is down; its data stays"),
            Command::Down => eprintln!("{word} `{name}` was not up"),
            Command::Status => return Ok(self.status(word, &instance)),
            Command::Purge => {
                instance.purge()?;
                eprintln!("{word} `{name}` is gone");
            }
            Command::Terminal => {
                let code = instance.terminal(&self.rest)?.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Like other status commands, it fails where a server is down (3).
    fn status(&self, word: &str, instance: &Instance) -> ExitCode {
        let (name, directory) = (&self.name, instance.directory().display());
        match instance.port() {
            Some(port) => println!("{word} `{name}` is up on port {port}, in {directory}"),
            None => println!("{word} `{name}` is down; its place is {directory}"),
        }
        ExitCode::from(if instance.port().is_some() { 0 } else { 3 })
    }
}

impl Command {
    /// A terminal's command says whose it is.
    fn parse(word: &str) -> Option<(Command, Option<Server>)> {
        Some(match word {
            "up" => (Command::Up, None),
            "down" => (Command::Down, None),
            "status" => (Command::Status, None),
            "purge" => (Command::Purge, None),
            "psql" => (Command::Terminal, Some(Server::Postgres)),
            "redis-cli" => (Command::Terminal, Some(Server::Redis)),
            "nats" => (Command::Terminal, Some(Server::Nats)),
            _ => return None,
        })
    }
}

impl Server {
    fn parse(word: &str) -> Option<Server> {
        [Server::Postgres, Server::Redis, Server::Nats].into_iter().find(|server| server.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Server::Postgres => "postgres",
            Server::Redis => "redis",
            Server::Nats => "nats",
        }
    }

    /// What programs look for the URL in.
    fn variable(self) -> &'static str {
        match self {
            Server::Postgres => "DATABASE_URL",
            Server::Redis => "REDIS_URL",
            Server::Nats => "NATS_URL",
        }
    }

    fn instance(self, name: &str) -> Result<Instance, Error> {
        match self {
            Server::Postgres => Instance::postgres(name),
            Server::Redis => Instance::redis(name),
            Server::Nats => Instance::nats(name),
        }
    }
}
