//! The programs that the system tests run: where they are, and which Debian package brings the ones that are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that is not the project's own.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Program {
    /// As one would ask for it.
    pub name: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
    find: fn() -> Option<PathBuf>,
}

/// A connection pooler.
pub const PGBOUNCER: Program = Program::new("pgbouncer", "pgbouncer", || in_path("pgbouncer"));
/// A server of metrics.
pub const PROMETHEUS: Program = Program::new("prometheus", "prometheus", || in_path("prometheus"));
/// Its tool, which checks what a service exposes.
pub const PROMTOOL: Program = Program::new("promtool", "prometheus", || in_path("promtool"));
/// A browser.
pub const CHROMIUM: Program = Program::new("chromium", "chromium", || in_path("chromium"));
/// A server with TLS, other than the one of the Python package index.
pub const REDIS_SERVER: Program = Program::new("redis-server 7 or later", "redis-server", redis_server);
/// Its client.
pub const REDIS_CLI: Program = Program::new("redis-cli", "redis-tools", || in_path("redis-cli"));
/// A server with TLS and without pgvector.
pub const POSTGRES: Program = Program::new("PostgreSQL 15", "postgresql-15", || in_postgres("postgres"));
/// Its client.
pub const PSQL: Program = Program::new("psql 15", "postgresql-client-15", || in_postgres("psql"));
/// A Python that has a client of PostgreSQL.
pub const PYTHON_POSTGRES: Program =
    Program::new("python3 with psycopg2", "python3-psycopg2", || python("psycopg2"));
/// A Python that has a client of Redis.
pub const PYTHON_REDIS: Program = Program::new("python3 with redis", "python3-redis", || python("redis"));
/// A Python that can install packages of the Python package index.
pub const PYTHON_PIP: Program = Program::new("python3 with pip", "python3-pip", || python("pip"));

/// All of them.
pub const PROGRAMS: [Program; 11] = [
    PGBOUNCER,
    PROMETHEUS,
    PROMTOOL,
    CHROMIUM,
    REDIS_SERVER,
    REDIS_CLI,
    POSTGRES,
    PSQL,
    PYTHON_POSTGRES,
    PYTHON_REDIS,
    PYTHON_PIP,
];

impl Program {
    const fn new(name: &'static str, package: &'static str, find: fn() -> Option<PathBuf>) -> Self {
        Self { name, package, find }
    }

    /// Where it is, if it is here.
    pub fn find(&self) -> Option<PathBuf> {
        (self.find)()
    }

    /// Where it is.
    ///
    /// # Panics
    /// If it is not here, with the name of its package.
    pub fn path(&self) -> PathBuf {
        self.find().unwrap_or_else(|| panic!("{}", Missing(&[*self])))
    }
}

/// What is missing, and how to have it.
#[derive(Debug)]
pub struct Missing<'a>(pub &'a [Program]);

impl Missing<'_> {
    /// The Debian packages, each once.
    pub fn packages(&self) -> Vec<&'static str> {
        let mut packages: Vec<_> = self.0.iter().map(|program| program.package).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }
}

impl std::fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "the system tests need programs that are not here:")?;
        for Program { name, package, .. } in self.0 {
            writeln!(f, "  {name:<24} Debian: {package}")?;
        }
        write!(f, "to install them: apt-get install --no-install-recommends {}", self.packages().join(" "))
    }
}

fn redis_server() -> Option<PathBuf> {
    let server = in_path("redis-server")?;
    // "Redis server v=7.0.15 sha=..".
    let said = said(Command::new(&server).arg("--version"))?;
    let major: u32 = said.split_once("v=")?.1.split('.').next()?.parse().ok()?;
    (major >= 7).then_some(server)
}

/// Debian keeps the programs of each version apart.
fn in_postgres(name: &str) -> Option<PathBuf> {
    Some(Path::new("/usr/lib/postgresql/15/bin").join(name)).filter(|path| path.exists())
}

/// The first in PATH, or else Debian's, that has a module: Debian's packages are for Debian's Python.
fn python(module: &str) -> Option<PathBuf> {
    let pythons = in_path("python3").into_iter().chain([PathBuf::from("/usr/bin/python3")]);
    pythons
        .into_iter()
        .find(|python| said(Command::new(python).args(["-c", &format!("import {module}")])).is_some())
}

/// In PATH, or where Debian puts servers, which is not in everybody's PATH.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// What a command prints, if it succeeds.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let missing = Missing(&[PROMETHEUS, PROMTOOL, CHROMIUM]).to_string();
        assert_eq!(
            missing,
            "the system tests need programs that are not here:\n  \
               prometheus               Debian: prometheus\n  \
               promtool                 Debian: prometheus\n  \
               chromium                 Debian: chromium\n\
             to install them: apt-get install --no-install-recommends chromium prometheus"
        );
    }

    #[test]
    fn a_program_is_found_by_its_name_and_one_that_nobody_has_is_not() {
        assert!(in_path("sh").is_some());
        assert!(in_path("no-such-program").is_none());
        assert!(python("no_such_module").is_none());
    }
}
