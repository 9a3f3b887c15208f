//! Who owned which lane when, as the database has it: it is asked every few milliseconds.

use std::collections::HashMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::faults::Incidents;
use super::ledger::now;
use super::servers::Superuser;

/// A lane was seen to have another owner, or none, for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub subscription: String,
    pub lane: i16,
    pub epoch: i64,
    /// Of the owner's process; none if nobody owns it.
    pub pid: Option<u32>,
    pub at: i64,
}

/// Often enough to tell a take-over's time to a hundredth of a lease.
const GLANCE: Duration = Duration::from_millis(10);

const OWNERS: &str = "
    select cursor.subscription, cursor.lane, cursor.epoch, relay.pid
      from shared_events.cursor
      left join shared_events.relay on relay.subscription = cursor.subscription and relay.owner = cursor.owner";

/// Writes down every grant until `over`. While the database is away it sees nothing.
pub(crate) async fn watch(url: &str, over: &CancellationToken) -> Vec<Grant> {
    let mut grants: Vec<Grant> = Vec::new();
    let mut known: HashMap<(String, i16), (i64, Option<u32>)> = HashMap::new();
    let mut session = None;
    while !over.is_cancelled() {
        if session.is_none() {
            session = Superuser::open(url).await;
        }
        let rows = match &session {
            Some(client) => client.query(OWNERS, &[]).await.ok(),
            None => None,
        };
        match rows {
            Some(rows) => {
                for row in rows {
                    let (subscription, lane, epoch): (String, i16, i64) =
                        (row.get(0), row.get(1), row.get(2));
                    let pid = row.get::<_, Option<i32>>(3).map(i32::cast_unsigned);
                    if known.insert((subscription.clone(), lane), (epoch, pid)) != Some((epoch, pid)) {
                        grants.push(Grant { subscription, lane, epoch, pid, at: now() });
                    }
                }
            }
            None => session = None,
        }
        tokio::time::sleep(GLANCE).await; // a condition is polled
    }
    grants
}

/// From the kill of a relay until each of its lanes had another owner; microseconds, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TakeOvers {
    /// Those that had nothing else to wait for.
    pub clear: Vec<i64>,
    /// Those during which the database was away, or another relay was killed or stood still, which may have been the next owner: from the
    /// last of that on.
    pub hindered: Vec<i64>,
    /// Lanes that nobody took before the run was over.
    pub never: usize,
}

impl TakeOvers {
    pub(crate) fn of(grants: &[Grant], incidents: &Incidents) -> Self {
        let mut found = Self::default();
        for &(pid, killed) in &incidents.relay_kills {
            let mut owned: HashMap<(&str, i16), &Grant> = HashMap::new();
            for grant in grants.iter().take_while(|grant| grant.at <= killed) {
                owned.insert((&grant.subscription, grant.lane), grant);
            }
            for last in owned.into_values().filter(|grant| grant.pid == Some(pid)) {
                let same_lane =
                    |grant: &&Grant| (&grant.subscription, grant.lane) == (&last.subscription, last.lane);
                match grants.iter().filter(same_lane).find(|grant| grant.epoch > last.epoch) {
                    Some(next) => match incidents.hindered(pid, killed, next.at) {
                        Some(since) => found.hindered.push(next.at - since),
                        None => found.clear.push(next.at - killed),
                    },
                    None => found.never += 1,
                }
            }
        }
        found.clear.sort_unstable();
        found.hindered.sort_unstable();
        found
    }
}
