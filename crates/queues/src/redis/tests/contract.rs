//! The contract of a backend, on a cluster.

use super::*;
use crate::conformance::all_hold;

#[tokio::test]
async fn a_cluster_keeps_the_contract() {
    let cluster = RedisCluster::exclusive().await.unwrap();
    all_hold(Arc::new(RedisBackend::new(&connect(&cluster).await, "contract"))).await;
}
