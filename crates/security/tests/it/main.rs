//! What the crate promises, against tokens that were made to break it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod algorithms;
mod asvs;
mod audit;
mod authorizer;
mod catalogue;
mod client_address;
mod config;
mod cost;
mod failover;
mod forgery;
mod fuzz;
mod headers;
mod http;
mod jwks;
mod key_ring;
mod keys;
mod kill;
mod limits;
mod log;
mod login_guard;
mod login_race;
mod passwords;
mod permissions;
mod policies;
mod prune;
mod refresh;
mod revocations;
mod roles;
mod rotation;
mod sealed;
mod secrecy;
mod services;
mod sessions;
mod support;
mod tenancy;
mod tenants;
mod upkeep;
mod world;
