//! Where files live: the user's cache, and the temporary directory of servers that leave nothing behind.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{
    Error,
    account::{self, Account},
};

/// The cache of the user: `$SHARED_DEVKIT_CACHE`, or the system's place for caches.
pub(crate) fn directory() -> Result<PathBuf, Error> {
    let directory = match env::var_os("SHARED_DEVKIT_CACHE").filter(|path| !path.is_empty()) {
        Some(path) => std::path::absolute(&path).map_err(Error::file("find", Path::new(&path)))?,
        // Root's own directories are usually closed to the account that runs its servers.
        None if account::user() == 0 => PathBuf::from("/var/cache/shared-devkit"),
        None => of_user(),
    };
    match Account::of_servers()?.barrier(&directory) {
        None => Ok(directory),
        Some((path, account)) => Err(Error::Unreachable {
            path: path.to_owned(),
            account: account.to_owned(),
            variable: "SHARED_DEVKIT_CACHE",
        }),
    }
}

fn of_user() -> PathBuf {
    let home = env::home_dir().unwrap_or_else(env::temp_dir);
    match env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(cache) => cache,
        None if cfg!(target_os = "macos") => home.join("Library/Caches"),
        None => home.join(".cache"),
    }
    .join("shared-devkit")
}

/// The user's directory for servers that are deleted when they stop. Private, and refused where somebody else made it.
pub(crate) fn temporary(account: &Account) -> Result<PathBuf, Error> {
    let usual = env::temp_dir();
    let base = if account.barrier(&usual).is_none() { usual } else { PathBuf::from("/tmp") };
    let directory = base.join(format!("shared-devkit-{}", account::user()));
    private(&directory, account)?;
    Ok(directory)
}

/// Creates a directory that others may read and pass, whatever the umask is.
pub(crate) fn create(directory: &Path) -> Result<(), Error> {
    let created = || {
        let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(directory)?;
        missing.iter().try_for_each(|path| fs::set_permissions(path, Permissions::from_mode(0o755)))
    };
    created().map_err(Error::file("create the directory", directory))
}

/// Creates a directory that only the servers' account may use; its parent must be there.
pub(crate) fn private(directory: &Path, account: &Account) -> Result<(), Error> {
    let attempt = Error::file("create the directory", directory);
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return account.own(directory),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(attempt(error)),
        Err(_) => {}
    }
    let metadata = fs::symlink_metadata(directory).map_err(Error::file("read", directory))?;
    if metadata.is_dir() && [account::user(), account.user()].contains(&metadata.uid()) {
        // A process that was killed between the two steps of the creation left it with its own account.
        return account.own(directory);
    }
    Err(attempt(io::Error::other("it is there and belongs to somebody else")))
}

/// Waits until no other process holds the lock file; holds it until dropped or killed.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::file("open the lock file", path))?;
    file.lock().map_err(Error::file("lock", path))?;
    Ok(file)
}

/// Removes what killed predecessors left. Only called under the lock.
pub(crate) fn remove_leftovers(directory: &Path, prefix: &str) {
    for path in files_starting_with(directory, prefix).unwrap_or_default() {
        let _ = fs::remove_dir_all(path);
    }
}

/// The entries of a directory whose names begin with `prefix`.
pub(crate) fn files_starting_with(directory: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let wanted = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(prefix));
    Ok(entries.into_iter().filter(|entry| wanted(&entry.file_name())).map(|entry| entry.path()).collect())
}
