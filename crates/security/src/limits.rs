//! How often: limits by address, tenant, principal or route, in process or over Redis or Postgres.
//!
//! A [`Limiter`] has rules, each by some parts of a [`Key`], and a [`LimitStore`]. A [`Quota`](limit::Quota) and what is
//! stored make a [`Level`](level::Level), which says whether a cost fits, and when it will.

mod decision;
mod denials;
mod fields;
mod in_process;
mod key;
mod layer;
mod level;
mod limit;
mod limiter;
pub(crate) mod metrics;
mod monotonic;
#[cfg(feature = "postgres")]
mod postgres;
mod quotas;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "postgres")]
mod remote;
mod rule;
mod store;
mod table;

pub use decision::{Decision, Standing};
pub use in_process::InProcess;
pub use key::{By, Key};
pub use layer::{LimitLayer, Limited};
pub use limit::Limit;
pub use limiter::Limiter;
pub use monotonic::Monotonic;
#[cfg(feature = "postgres")]
pub use postgres::PostgresLimits;
pub use quotas::Whose;
#[cfg(feature = "redis")]
pub use redis::RedisLimits;
pub use rule::Rule;
pub use store::{LimitStore, OnOutage};

/// Rules of a limiter at most: a second's, a minute's and a day's, and one more. So much room has a decision.
const MOST_RULES: usize = 4;
