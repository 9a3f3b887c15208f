//! Notes: one table, one job, one event, one search. See `lib.rs`; run with `cargo run -p notes`.

use shared_service::Exit;

#[tokio::main]
async fn main() -> Exit {
    notes::service().run().await
}
