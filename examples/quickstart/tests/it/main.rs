//! The quickstart as its users meet it: the program, its HTTP API, and what is left when it is killed.

mod arguments;
mod corpus;
mod crash;
mod guards;
mod http;
mod invariants;
mod program;
