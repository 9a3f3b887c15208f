//! Load for whatever an async closure can ask, and two ways of doing one thing, measured in turn.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), shared_devkit::Error> {
//! use shared_devkit::load::{Load, Request};
//!
//! let prices = [30, 250, 990];
//! let report = Load::closed(8)
//!     .requests(10_000)
//!     .run(async |request: Request| {
//!         let item = request.random as usize % 4; // the same items for the same seed
//!         prices.get(item).ok_or("no such item")
//!     })
//!     .await?;
//!
//! println!("{report}");
//! assert_eq!(report.requests(), 10_000);
//! assert!(report.errors()["no such item"] > 2_000);
//! # Ok(())
//! # }
//! ```
//!
//! prints something like
//!
//! ```text
//! closed loop of 8, seed 0
//! 10000 requests in 2.6ms, 2897315.0 succeeded a second
//! p50 1.8µs   p90 1.8µs   p99 2.1µs   p99.9 7.0µs   max 98.6µs
//! 2545 × no such item
//! ```
//!
//! # Which loop
//! - [`Load::closed`]: so many callers, each with its next request when the last one has ended. It finds the most that
//!   a server can do. A server that stalls is asked less in the meantime, so its latencies look better than what
//!   independent users would see.
//! - [`Load::open`]: requests [arrive](Arrivals) at a rate, whatever the server does, as from users who do not know of
//!   each other. Latency counts from the time at which a request should have started, so nothing that had to wait
//!   looks fast: what others call the correction of coordinated omission.
//!
//! # Two in turn
//! A [`Comparison`] runs two sides in alternating rounds, so that a machine that grows warm or busy does so for both, and
//! a [`Table`] prints the medians, their ratio and its spread. A ratio whose spread holds 1.00 says nothing.
//!
//! # What is guaranteed
//! - The same seed gives the same arrivals and the same [`Request`]s in the same order. Which of them an error or a
//!   slow server meets is not the driver's to say.
//! - Every request that started, or was due, is in the figures: failed ones, and those cut off by the
//!   [time limit](Load::time_limit).
//! - Nothing is spawned: all requests run within the task that awaits the load, on its runtime, and end when the load's
//!   future is dropped. One core drives them; for more, run one load in each of several tasks.
//! - The runtime's timer is exact to a millisecond, less so on a busy machine: so much of an open loop's latencies may be
//!   the driver's own. To measure microseconds, use a closed loop of one or a comparison.

mod arrivals;
mod comparison;
mod driver;
mod latencies;
mod plan;
mod report;
mod sample;
mod table;

pub use arrivals::Arrivals;
pub use comparison::{Comparison, Measured, time};
pub use driver::Request;
pub use latencies::Latencies;
pub use plan::Load;
pub use report::Report;
pub use sample::Sample;
pub use table::Table;
