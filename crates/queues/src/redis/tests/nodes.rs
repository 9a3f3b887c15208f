//! A worker whose queues lie on several nodes of a cluster, one of which goes away.

use std::sync::atomic::{AtomicUsize, Ordering};

use shared_core::Failure;
use shared_devkit::{RedisOptions, Replicas};
use tokio::sync::Semaphore;

use super::*;
use crate::fixture::{Mail, tenant};
use crate::{Config as Settings, Jobs, NewJob, Queues, Worker};

/// Of these queues some lie elsewhere than the mails.
const OTHERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Each handler waits for its own word.
struct Gates {
    begun: AtomicUsize,
    ended: AtomicUsize,
    open: [Semaphore; 4],
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < patience, "in vain: until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
    }
}

/// The node on which a key lies.
async fn node_of(key: &str, cluster: &RedisCluster) -> usize {
    let node = Redis::connect(&Config::new(cluster.urls()[0].clone())).await.unwrap();
    let slot: u16 = node.command(cmd("CLUSTER").arg("KEYSLOT").arg(key)).await.unwrap();
    cluster.owner(slot).await.unwrap()
}

/// Also when it has ended: what is left of it is settled when its server is back.
#[tokio::test]
async fn a_queue_that_cannot_be_reached_keeps_no_other_from_being_settled() {
    let goes_on = RedisOptions::new().setting("cluster-require-full-coverage", "no");
    let mut cluster = RedisCluster::exclusive_with(Replicas::None, goes_on).await.unwrap();
    let redis = connect(&cluster).await;
    let (queues, away) = (Queues::redis(&redis), node_of("{queues:mail}", &cluster).await);
    let mut near = OTHERS[0];
    for queue in OTHERS {
        if node_of(&format!("{{queues:{queue}}}"), &cluster).await != away {
            near = queue;
        }
    }

    let producer = queues.tenant(&tenant());
    producer.enqueue(Mail { n: 0 }).await.unwrap();
    producer.enqueue_all((1..4).map(|n| NewJob::of(Mail { n }).queue(near))).await.unwrap();
    let gates = Arc::new(Gates {
        begun: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        open: [const { Semaphore::const_new(0) }; 4],
    });
    let handler = {
        let gates = gates.clone();
        move |mail: Mail| {
            let gates = gates.clone();
            async move {
                gates.begun.fetch_add(1, Ordering::SeqCst);
                let _place = gates.open[mail.n as usize].acquire().await;
                gates.ended.fetch_add(1, Ordering::SeqCst);
                Ok::<(), Failure>(())
            }
        }
    };
    // The lease lasts for as long as the test may.
    let settings = Settings { lease: Duration::from_secs(300), ..Settings::default() };
    let jobs = Jobs::new().handle(handler).from_queue(near);
    let worker = Worker::start(&queues, (), jobs, settings).await.unwrap();
    until("all have begun", async || gates.begun.load(Ordering::SeqCst) == 4).await;

    cluster.kill(away).await.unwrap();
    gates.open[0].add_permits(1);
    until("it has ended", async || gates.ended.load(Ordering::SeqCst) == 1).await;
    // Of a node that misses another, nothing for some moments.
    let left = async |queue: &str| -> Option<usize> {
        redis.command(cmd("HLEN").arg(format!("{{queues:{queue}}}:bodies"))).await.ok()
    };
    for n in 1..4 {
        gates.open[n].add_permits(1);
        until("its outcome is settled", async || left(near).await == Some(3 - n)).await;
    }
    cluster.start(away).await.unwrap();
    until("the first one is, too", async || left("mail").await == Some(0)).await;
    let report = worker.stop(Duration::from_secs(5)).await;
    assert_eq!((report.refused, report.released), (0, true));
}

/// The jobs of the other queues are handed back at once, and are no crash.
#[tokio::test]
async fn a_queue_that_cannot_be_reached_keeps_no_other_from_being_handed_back() {
    let goes_on = RedisOptions::new().setting("cluster-require-full-coverage", "no");
    let cluster = RedisCluster::exclusive_with(Replicas::None, goes_on).await.unwrap();
    let mut rig = Rig::on(connect(&cluster).await, "nodes").await;
    let [first, second] = ["a", "b"].map(|queue| rig.backend.keys.queue(queue));
    let (first, second) = (node_of(&first, &cluster).await, node_of(&second, &cluster).await);
    assert_ne!(first, second, "choose another prefix");
    let (other, number, most) = (Uuid::new_v4(), 1, 1);
    rig.backend.register(other, &["b".into()], LONG).await.unwrap();
    let job = Entry { queue: "b".into(), ..rig.entry("x") };
    rig.put([job]).await;
    assert_eq!(rig.claim_from("b", 1).await.len(), 1);
    cluster.kill(first).await.unwrap();
    assert!(rig.backend.retire(rig.worker, &queues()).await.is_err());
    let claim = Claim { queue: "b", most, worker: other, number };
    assert_eq!(rig.backend.claim(claim).await.unwrap().len(), 1);
}
