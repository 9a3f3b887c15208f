//! What a run shows: bars while it works, then a table, searches and a trace.

pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod tree;
pub(crate) mod words;
