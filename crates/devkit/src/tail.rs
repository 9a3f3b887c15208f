//! The end of a log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The rest of a longer log is not looked at.
const MOST_READ: u64 = 1 << 20;

/// What was added to a file. One that has become shorter was begun anew.
pub(crate) fn text_from(log: &Path, place: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    let begin = if place > length { 0 } else { place };
    file.seek(SeekFrom::Start(begin.max(length.saturating_sub(MOST_READ))))?;
    let mut bytes = Vec::new();
    file.take(MOST_READ).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::text_from;

    #[test]
    fn a_log_is_read_from_a_place_or_anew() {
        let log = std::env::temp_dir().join(format!("devkit-log-{}", uuid::Uuid::new_v4()));
        std::fs::write(&log, "before after").unwrap();
        assert_eq!(text_from(&log, 7).unwrap(), "after");
        assert_eq!(text_from(&log, 100).unwrap(), "before after");
        std::fs::remove_file(&log).unwrap();
    }
}
