//! The life of a service, on real servers.

mod http;
mod start;
mod stop;
mod support;
