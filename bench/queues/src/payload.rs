//! What all queues carry.

use serde::{Deserialize, Serialize};

/// A job's data. As JSON it has about the wanted number of bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "peers", derive(riverqueue::JobArgs), river(kind = "bench"))]
pub(crate) struct Payload {
    pub(crate) at: u64,
    pub(crate) text: String,
}

/// The braces and names.
const AROUND: usize = 24;

impl Payload {
    pub(crate) fn new(at: u64, bytes: usize) -> Self {
        Self { at, text: "x".repeat(bytes.saturating_sub(AROUND)) }
    }
}
