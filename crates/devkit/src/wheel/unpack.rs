//! A wheel is a zip file: its hash, and its contents.

use std::{
    fs,
    fs::{File, Permissions},
    io::{self, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use sha2::{Digest, Sha256};
use zip::{ZipArchive, result::ZipError};

use crate::{Error, cache};

/// Refuses a file that is not the pinned one.
pub(super) fn check(file: &Path, expected: &'static str) -> Result<(), Error> {
    let found = sha256(file)?;
    if found == expected { Ok(()) } else { Err(Error::Checksum { file: file.to_owned(), expected, found }) }
}

/// The lower-case hexadecimal SHA-256 of a file.
pub(super) fn sha256(file: &Path) -> Result<String, Error> {
    let read = || -> io::Result<String> {
        let mut source = File::open(file)?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match source.read(&mut buffer)? {
                0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
                count => hash.update(&buffer[..count]),
            }
        }
    };
    read().map_err(Error::file("read", file))
}

/// Unpacks everything, because the libraries of a program lie in a sibling directory, and restores executable bits.
pub(super) fn unpack(file: &Path, directory: &Path) -> Result<(), Error> {
    let broken = |error: ZipError| Error::file("unpack", file)(error.into());
    let open = File::open(file).map_err(Error::file("open", file))?;
    let mut archive = ZipArchive::new(BufReader::new(open)).map_err(broken)?;
    cache::create(directory)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        // A name that points outside cannot come from the pinned file; it is passed over all the same.
        let Some(name) = entry.enclosed_name() else { continue };
        let target = directory.join(name);
        if entry.is_dir() {
            cache::create(&target)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            cache::create(parent)?;
        }
        let executable = entry.unix_mode().unwrap_or(0) & 0o111 != 0;
        write(&mut entry, &target, executable).map_err(Error::file("write", &target))?;
    }
    Ok(())
}

/// Writes one file, readable by the account that runs the servers whatever this process's umask is.
fn write(entry: &mut impl Read, target: &Path, executable: bool) -> io::Result<()> {
    io::copy(entry, &mut File::create(target)?)?;
    fs::set_permissions(target, Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}
