//! What devkit tells its user: short lines on standard error.

use std::{
    collections::HashSet,
    fmt,
    io::Write,
    sync::{Mutex, PoisonError},
};

/// Writes past the capture of the test harness: a first run that downloads must not look as if it hung.
/// A closed standard error is no reason to fail.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "devkit: {text}");
}

/// As [`note`], but a test binary with twenty servers says it once.
pub(crate) fn note_once(text: String) {
    static TOLD: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.get_or_insert_default().insert(text.clone()) {
        note(format_args!("{text}"));
    }
}
