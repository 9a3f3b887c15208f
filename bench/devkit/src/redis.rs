//! Redis: servers, a cluster, and databases of the shared one.

use shared_devkit::load::time;
use shared_devkit::{Redis, RedisCluster};

use crate::{JOIN, line};

pub(crate) async fn measure() {
    let server = Redis::shared().await.unwrap();
    let join = async || time(async || Redis::shared().await.unwrap()).await;
    line("Redis: join the shared server", Some(JOIN), join).await;
    let start = async || time(async || Redis::exclusive().await.unwrap()).await;
    line("Redis: start an exclusive server", None, start).await;
    let database = async || time(async || server.database().await.unwrap()).await;
    line("Redis: a database", None, database).await;
    let cluster = async || time(async || RedisCluster::exclusive().await.unwrap()).await;
    line("Redis: start a cluster of three", None, cluster).await;
}
