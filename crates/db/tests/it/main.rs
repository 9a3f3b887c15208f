//! What shared-db promises, against a real server.

mod bootstrap;
mod cancel;
mod errors;
mod failures;
mod isolation;
mod outage;
mod pool;
mod proxy;
mod roles;
mod smoke;
mod statements;
mod support;
mod trips;
