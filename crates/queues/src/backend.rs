//! What a backend does: the contract that all of them keep, and that one suite checks.
//!
//! A job is in one place at a time:
//!
//! ```text
//! enqueue ─┬─ delayed ─► scheduled ─┐ promote
//!          │                        ▼
//!          ├─ has a lane ──────► waiting ──claim admits──┐      a lane: its ordering key, or the set of its limits
//!          │                                             ▼
//!          └────────────────────────────────────────►  ready ──claim──► held ──settle──► finished, dead, or gone
//!                                                        ▲               │
//!                                                        └─ rescue, hand back, retry (by `scheduled`)
//! ```
//!
//! - A job with a lane that is ready or held has passed its limits, and counts against them; anywhere else it does not. When it
//!   leaves `held` for another attempt it goes back to its lane: to its place there if the lane keeps an order.
//! - A lane with an ordering key admits one job at a time, the oldest, and none while the oldest waits for its time.
//! - Time is the backend's own. What a worker calls `held` ends with its lease, whatever the worker believes.

mod control;
mod schedules;
mod work;

pub(crate) use crate::filter::{DeadFilter, JobFilter};
pub use control::Cancelled;
pub(crate) use control::Control;
pub(crate) use schedules::{Schedules, StoredSchedule};
pub(crate) use work::{Claim, Claimed, Entry, Fate, Fence, Retention, Settled, Swept, Work};

/// Everything that a backend does.
pub(crate) trait Backend: Work + Control + Schedules {}

impl<B: Work + Control + Schedules> Backend for B {}
