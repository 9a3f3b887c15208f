//! Real servers, real processes, real kills. Every file system path has a space in it.

mod adverse;
mod child;
mod cli;
mod cluster;
mod database;
mod exclusive;
mod faults;
#[cfg(feature = "faults")]
mod harness;
#[cfg(feature = "kit")]
mod kit;
#[cfg(feature = "load")]
mod load;
#[cfg(feature = "faults")]
mod matrix;
mod nats;
#[cfg(feature = "otlp")]
mod otlp;
mod proxy;
mod redis;
mod replica;
mod sandbox;
mod sentinels;
mod shared;
#[cfg(feature = "tls")]
mod tls;
mod wheel;
