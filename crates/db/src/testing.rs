//! For the tests of crates that have statements and migrations.

mod probe;

pub use probe::{Outcome, Probe, Probed, Verb, probe_isolation};

pub use crate::statement::mismatches::mismatches;
