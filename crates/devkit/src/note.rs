//! What devkit tells its user: short lines on standard error.

use std::{fmt, io::Write};

/// Writes past the capture of the test harness: a first run that downloads must not look as if it hung.
/// A closed standard error is no reason to fail.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "devkit: {text}");
}
