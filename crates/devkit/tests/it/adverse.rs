//! What a machine does to a user: kills him, fills his disk, takes his port, cuts his network.

mod accounts;
mod checkouts;
mod crowd;
mod disk;
mod leftovers;
mod port;
mod supply;
pub(crate) mod user;
