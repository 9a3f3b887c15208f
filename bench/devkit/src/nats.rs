//! NATS with JetStream.

use shared_devkit::Nats;
use shared_devkit::load::time;

use crate::{JOIN, line};

pub(crate) async fn measure() {
    let _server = Nats::shared().await.unwrap();
    let join = async || time(async || Nats::shared().await.unwrap()).await;
    line("NATS: join the shared server", Some(JOIN), join).await;
    let start = async || time(async || Nats::exclusive().await.unwrap()).await;
    line("NATS: start an exclusive server", None, start).await;
}
