//! Real servers, real processes, real kills. Every file system path has a space in it.

mod child;
mod cli;
mod database;
mod exclusive;
mod failure;
mod sandbox;
mod shared;
mod wheel;
