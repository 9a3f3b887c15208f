//! Where a panic that was caught came from.
//!
//! [`catch_unwind`](std::panic::catch_unwind) tells what the panic said, which may quote data, but not where it was: that only the panic
//! hook of the process knows. A program may let it be remembered; a library that catches panics can then say it.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    static LAST: Cell<Option<String>> = const { Cell::new(None) };
}

static HOOK: Once = Once::new();

/// Lets the process remember where each thread panicked last, in front of the panic hook that is installed, which goes on to run.
///
/// It installs a global, so it is for programs, at their start; `shared_telemetry::init` calls it. Further calls do nothing.
pub fn remember() {
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            LAST.set(info.location().map(|at| format!("{}:{}", at.file(), at.line())));
            next(info);
        }));
    });
}

/// Where this thread panicked since the last call, as `src/mail.rs:12`. To be asked on the thread, and right after the panic
/// was caught. `None` unless [`remember`] was called before the panic.
pub fn last() -> Option<String> {
    LAST.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_has_a_place() {
        remember();
        remember();
        let line = line!() + 1;
        assert!(panic::catch_unwind(|| panic!("lost its nerve")).is_err());
        assert_eq!(last(), Some(format!("{}:{line}", file!())));
        assert_eq!(last(), None);
    }
}
