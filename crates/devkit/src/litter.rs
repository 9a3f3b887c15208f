//! What servers leave whose users and keeper were all killed. Nobody asks for the name of an exclusive one again.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{cache, keeper, site::Site, software::Software};

/// Longer than any start takes: a younger directory may be about to get its keeper.
const OLD: Duration = Duration::from_secs(5 * 60);

/// Ends and removes the abandoned servers beside a site. What resists is left to the next one who comes.
pub(crate) fn sweep(site: &Site, software: &dyn Software) {
    let Some(base) = site.directory.parent() else { return };
    let prefix = format!("own-{}-", software.name());
    let mut all = cache::files_starting_with(base, &prefix).unwrap_or_default();
    all.retain(|directory| is_own(directory, &prefix) && is_abandoned(directory));
    for directory in all {
        remove(&Site { directory, ..site.clone() }, software);
    }
}

/// Ends what still runs at a site that nobody uses, and removes all that it has.
pub(crate) fn remove(site: &Site, software: &dyn Software) {
    if site.kill(software.pid_files()).is_ok() {
        software.forget(site);
        let _ = fs::remove_dir_all(&site.directory);
    }
}

/// Whether a random id follows, and not the rest of another program's name; its keeper may have renamed it to delete it.
fn is_own(directory: &Path, prefix: &str) -> bool {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let id = name.strip_prefix(prefix).and_then(|rest| rest.split('.').next()).unwrap_or_default();
    id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit())
}

/// Old, and with neither keeper nor owner.
fn is_abandoned(directory: &Path) -> bool {
    let changed = directory.metadata().and_then(|metadata| metadata.modified());
    let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_some_and(|age| age > OLD) && !keeper::is_alive(directory) && !keeper::has_users(directory)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_own;

    #[test]
    fn a_directory_belongs_to_the_program_of_its_whole_name() {
        let id = "0123456789abcdef0123456789abcdef";
        let is_of_redis = |name: String| is_own(&Path::new("/tmp").join(name), "own-redis-");
        assert!(is_of_redis(format!("own-redis-{id}")));
        assert!(is_of_redis(format!("own-redis-{id}.gone-42")));
        assert!(!is_of_redis(format!("own-redis-cluster-{id}")));
        assert!(!is_of_redis("own-redis-".to_owned()));
    }
}
