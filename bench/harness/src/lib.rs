//! Two ways of doing one thing, measured in turn: ours and a peer's.
//!
//! The sides alternate within one process, so that a machine that grows warm or busy does so for both. Each round gives
//! one ratio; the table shows their median and how far they lie apart.
//!
//! ```
//! use bench_harness::{Comparison, Table, time};
//!
//! let numbers: Vec<u64> = (0..10_000).rev().collect();
//! let mut table = Table::default();
//! table.add(Comparison::new("sort", 10_000).run(
//!     || { let mut own = numbers.clone(); time(|| own.sort_unstable()) }, // the copy is not measured
//!     || { let mut own = numbers.clone(); time(|| own.sort()) },
//! ));
//! println!("{table}");
//! ```

mod comparison;
mod sample;
mod table;

pub use comparison::{Comparison, Measured, time};
pub use sample::Sample;
pub use table::Table;
