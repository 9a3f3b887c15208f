//! shared-security beside what others use for the same.
//!
//! Each line is one comparison, printed when it is done; `tokens`, `permissions`, `guard`, `limits` and `revocations` name the parts that are wanted.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to say")]

mod guard;
mod limits;
mod permissions;
mod revocations;
mod tokens;

// One thread: how fast threads wake each other differs from run to run, by more than what is compared.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|one| one == part);
    bench_report::head();
    if wants("tokens") {
        tokens::compare().await;
    }
    if wants("permissions") {
        permissions::compare().await;
    }
    if wants("guard") {
        guard::compare().await;
    }
    if wants("limits") {
        limits::compare().await;
    }
    if wants("revocations") {
        revocations::measure().await;
    }
}
