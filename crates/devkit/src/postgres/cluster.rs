//! Makes the data directory of a server: by `initdb`, as a copy of an empty one, or as a copy of its primary.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{installation::Installation, server::SETTINGS};
use crate::{
    Error, cache, fingerprint,
    site::{Site, end_of},
};

/// Makes the data directory of a site. One that was interrupted half-way is never used.
pub(super) fn make(site: &Site, installation: &Installation, primary: Option<&Site>) -> Result<(), Error> {
    let fresh = site.path("data.new");
    let _ = fs::remove_dir_all(&fresh);
    match primary {
        Some(primary) => copy_primary(site, installation, primary, &fresh)?,
        None if site.kept => initialise(site, installation, &fresh, true)?,
        // Without a cache to keep an empty cluster in, each is made anew.
        None => copy_empty(site, installation, &fresh)
            .or_else(|_| initialise(site, installation, &fresh, false))?,
    }
    fs::rename(&fresh, site.path("data")).map_err(Error::file("create", &site.path("data")))
}

/// `initdb` with a password of its own, which takes about half a second.
fn initialise(site: &Site, installation: &Installation, fresh: &Path, sync: bool) -> Result<(), Error> {
    let _ = fs::remove_dir_all(fresh);
    site.write("password", &uuid::Uuid::new_v4().simple().to_string())?;
    let mut initdb = site.account.command(installation.program("initdb"));
    initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
    if installation.major >= 17 {
        // Unicode's rules for letters, the same on every system, without a collation library.
        initdb.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
        // What an `initdb` that dies leaves lies in the directory too.
        initdb.args(["--set", "dynamic_shared_memory_type=mmap"]);
    }
    if !sync {
        initdb.arg("--no-sync");
    }
    initdb.arg("--pwfile").arg(site.path("password")).arg("--pgdata").arg(fresh);
    run(&mut initdb)?;
    let settings = fresh.join("postgresql.conf");
    let include = |mut file: File| writeln!(file, "include '{SETTINGS}'");
    File::options().append(true).open(&settings).and_then(include).map_err(Error::file("write", &settings))
}

/// Copies the empty cluster with its password, which takes a tenth of the time. So the throw-away servers of a user
/// share a password, and a system identifier.
fn copy_empty(site: &Site, installation: &Installation, fresh: &Path) -> Result<(), Error> {
    let empty = empty_cluster(site, installation)?;
    let password = empty.join("password");
    let password = fs::read_to_string(&password).map_err(Error::file("read", &password))?;
    site.write("password", &password)?;
    // It shares the blocks where the file system can, and starts no thread for a thousand small files.
    run(site.account.command("cp").arg("-R").arg(empty.join("data")).arg(fresh))
}

/// The directory of the empty cluster of an installation; makes it the first time.
fn empty_cluster(site: &Site, installation: &Installation) -> Result<PathBuf, Error> {
    let base = cache::directory()?.join("clusters");
    let name = fingerprint(&format!("1 {} {}", installation.program("initdb").display(), installation.major));
    let directory = base.join(&name);
    if directory.is_dir() {
        return Ok(directory);
    }
    cache::private(&base, &site.account)?;
    let _lock = cache::lock(&base.join(format!("{name}.lock")))?;
    if !directory.is_dir() {
        let part = base.join(format!("{name}.part"));
        let _ = fs::remove_dir_all(&part);
        cache::private(&part, &site.account)?;
        let within = Site { directory: part.clone(), ..site.clone() };
        initialise(&within, installation, &part.join("data"), true)?;
        fs::rename(&part, &directory).map_err(Error::file("create", &directory))?;
    }
    Ok(directory)
}

/// Copies a running primary, whose log it will follow from a slot of its own.
fn copy_primary(site: &Site, installation: &Installation, primary: &Site, fresh: &Path) -> Result<(), Error> {
    site.write("password", &primary.password()?)?;
    let mut copy = site.account.command(installation.program("pg_basebackup"));
    copy.env("PGPASSWORD", primary.password()?)
        .args(["--host=127.0.0.1", "--username=postgres", "--no-password", "--port"])
        .arg(primary.read("port")?)
        .args(["--checkpoint=fast", "--wal-method=stream", "--no-sync", "--create-slot", "--slot"])
        .arg(slot(site))
        .arg("--pgdata")
        .arg(fresh);
    run(&mut copy)?;
    let signal = fresh.join("standby.signal");
    File::create(&signal).map_err(Error::file("create", &signal))?;
    site.account.own(&signal)
}

/// The name of a replica's slot: that of its directory, as far as the server takes it.
pub(super) fn slot(site: &Site) -> String {
    let name = site.directory.file_name().unwrap_or_default().to_string_lossy();
    name.replace(|other: char| !other.is_ascii_alphanumeric(), "_")
}

fn run(command: &mut Command) -> Result<(), Error> {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let failed = |reason| Error::Program { program, reason };
    // Killed with the program's group, `initdb` would leave its shared memory; so it goes on to its end.
    match command.process_group(0).stderr(Stdio::piped()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(end_of(&String::from_utf8_lossy(&output.stderr)))),
        Err(error) => Err(failed(error.to_string())),
    }
}
