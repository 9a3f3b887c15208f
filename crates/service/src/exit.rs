use std::process::{ExitCode, Termination};

use shared_config::Report;

/// How a service ended, as the exit code of `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// It was asked to stop, and everything under way was finished: 0.
    pub const STOPPED: Exit = Exit(0);
    /// It could not start, or something was cut off at its end: 1.
    pub const FAILED: Exit = Exit(1);
    /// Its configuration is wrong: 78, `EX_CONFIG` of `sysexits.h`.
    pub const CONFIGURATION: Exit = Exit(Report::EXIT_CODE);
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.0)
    }
}
