//! On which cores client and server run, and for how long.
//!
//! Left to themselves they share a core in one round and wake each other across two in the next, which takes several times as long
//! where a sleeping core has to be woken by a hypervisor. Two such rounds have no ratio. So they are told, both sides alike.

use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio_postgres::NoTls;

/// A server of one's own, whose processes may be moved.
pub(crate) struct Server {
    /// The one that starts all others.
    first: Pid,
    /// The cores that this program was given.
    cores: Vec<usize>,
}

/// Where client and server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Both on one: time is what both of them work, and nobody waits for a core to wake up.
    One,
    /// On one each: what they work at the same time counts once, and each answer wakes a core.
    Two,
}

impl Server {
    /// The login must be a superuser's.
    pub(crate) async fn of(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        let file = client.query_one("select pg_read_file('postmaster.pid')", &[]).await.unwrap();
        let first = Pid::from_raw(file.get::<_, &str>(0).lines().next().unwrap().parse().unwrap());
        drop(client);
        driver.await.unwrap().unwrap();
        let given = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let cores = (0..CpuSet::count()).filter(|core| given.is_set(*core).unwrap()).collect();
        Self { first, cores }
    }

    /// Moves this thread, and whatever the server starts from here on: connections have to be opened after this.
    pub(crate) fn pin(&self, cores: Cores) {
        let (first, last) = (self.cores[0], self.cores[self.cores.len() - 1]);
        let of_server = if cores == Cores::One { last } else { first };
        move_to(Pid::from_raw(0), last);
        move_to(self.first, of_server);
        println!("client on core {last}, connections of the server on core {of_server}");
    }

    /// For how long its connections have been on a core, all together.
    pub(crate) fn on_core(&self) -> Duration {
        let first = self.first;
        let started = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        // One that has ended meanwhile was none of those that are measured.
        started.split_whitespace().filter_map(|pid| counted(&format!("/proc/{pid}/schedstat"))).sum()
    }
}

fn move_to(process: Pid, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core).unwrap();
    sched_setaffinity(process, &cores).unwrap();
}

/// For how long this thread, which is the client's only one, has been on a core.
pub(crate) fn client_on_core() -> Duration {
    counted("/proc/thread-self/schedstat").unwrap()
}

/// For how long some work kept this thread on a core.
pub(crate) async fn busy(work: impl AsyncFnOnce()) -> Duration {
    let before = client_on_core();
    work().await;
    client_on_core() - before
}

/// Linux counts it, in nanoseconds.
fn counted(file: &str) -> Option<Duration> {
    let counted = std::fs::read_to_string(file).ok()?;
    Some(Duration::from_nanos(counted.split_whitespace().next()?.parse().ok()?))
}
