//! The audit log: what is recorded is there, and shows what was done to it.

mod events;
mod keep;
mod model;
mod sealing;
pub(crate) mod support;
mod tampering;
mod tenancy;
mod trail;
mod writing;
