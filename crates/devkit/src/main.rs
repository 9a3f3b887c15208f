//! `shared-devkit up | down | status | psql | purge`: a PostgreSQL with pgvector for local work.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::{env, process::ExitCode};

use shared_devkit::{Error, Instance};

const USAGE: &str = "\
usage: shared-devkit COMMAND [--name NAME] [-- ARGUMENTS OF PSQL]

  up      start the server, keep it up, and print its environment lines
  down    stop it; its data stays
  status  say whether it is up
  psql    open a terminal on it
  purge   stop it and delete its data

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

/// What was asked for.
struct Call {
    command: String,
    name: String,
    rest: Vec<String>,
}

impl Call {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Call> {
        let mut call = Call { command: arguments.next()?, name: "dev".to_owned(), rest: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--name" => call.name = arguments.next()?,
                "--" if call.command == "psql" => call.rest.extend(arguments.by_ref()),
                _ => return None,
            }
        }
        ["up", "down", "status", "psql", "purge"].contains(&call.command.as_str()).then_some(call)
    }

    fn run(&self) -> Result<ExitCode, Error> {
        let (name, instance) = (&self.name, Instance::named(&self.name)?);
        match self.command.as_str() {
            "up" => {
                println!("DATABASE_URL={}", instance.up()?);
                eprintln!("`{name}` is up until `shared-devkit down --name {name}`");
            }
            "down" if instance.down()? => eprintln!("`{name}` is down; its data stays"),
            "down" => eprintln!("`{name}` was not up"),
            "psql" => {
                let code = instance.psql(&self.rest)?.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
            "purge" => {
                instance.purge()?;
                eprintln!("`{name}` is gone");
            }
            _ => return Ok(self.status(&instance)),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Like other status commands, it fails where the server is down (3).
    fn status(&self, instance: &Instance) -> ExitCode {
        let (name, directory) = (&self.name, instance.directory().display());
        match instance.port() {
            Some(port) => println!("`{name}` is up on port {port}, in {directory}"),
            None => println!("`{name}` is down; its place is {directory}"),
        }
        ExitCode::from(if instance.port().is_some() { 0 } else { 3 })
    }
}
