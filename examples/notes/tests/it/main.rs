//! The service as its users see it.

mod environment;
mod http;
mod readme;
mod search;
mod stop;
