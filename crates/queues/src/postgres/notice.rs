//! Telling idle workers of other processes that there are jobs, by NOTIFY.
//!
//! Commits with a NOTIFY go one after the other, each with its flush: in all of them it would cost more than half of their number. So a
//! process tells of a queue now and then. A worker that was woken looks again soon, and so finds what came meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shared_db::{Db, Listener, Notice};
use tokio::time::Instant;
use uuid::Uuid;

/// The channel of all queues of a database.
const CHANNEL: &str = "shared_queues";

/// How often a process tells of a queue at most: 50 commits a second among thousands, and a worker that was woken looks a second time
/// before it is over.
const CRY_EVERY: Duration = Duration::from_millis(20);

/// Queues that are remembered. A process with more begins anew from time to time, and tells of some too often.
const QUEUES: usize = 1000;

/// When to try again to listen where that was not possible, such as behind a pooler. An open listener helps itself.
const LISTEN_AGAIN: Duration = Duration::from_secs(60);

/// Tells others what this process enqueues.
#[derive(Debug)]
pub(crate) struct Crier {
    /// By which a process knows its own words.
    id: Uuid,
    cried: Mutex<HashMap<String, Instant>>,
}

impl Default for Crier {
    fn default() -> Self {
        Self { id: Uuid::new_v4(), cried: Mutex::default() }
    }
}

impl Crier {
    /// The words for those queues of which it is time to tell.
    pub(super) fn cry<'a>(&self, queues: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
        let mut cried = self.cried.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, mut words) = (Instant::now(), Vec::new());
        for queue in queues {
            match cried.get_mut(queue) {
                Some(at) if now < *at + CRY_EVERY => continue,
                Some(at) => *at = now,
                None => {
                    if cried.len() >= QUEUES {
                        cried.clear();
                    }
                    cried.insert(queue.to_owned(), now);
                }
            }
            words.push(format!("{} {queue}", self.id));
        }
        (!words.is_empty()).then_some(words)
    }
}

/// Hears what other processes tell. Of the workers that wait one listens, for all.
#[derive(Default)]
pub(super) struct Ears {
    state: tokio::sync::Mutex<State>,
    /// Those that somebody here works from.
    queues: Mutex<HashSet<Arc<str>>>,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    /// It is not begun anew by each that waits.
    Opening(BoxFuture<'static, Result<Listener, shared_db::Error>>),
    Open(Listener),
    Impossible(Instant),
}

impl Ears {
    /// Returns when another process may have enqueued to one of the queues of this. Dropping the future loses nothing.
    pub(super) async fn hear(&self, db: &Db, own: &Crier, queues: &[Arc<str>]) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).extend(queues.iter().cloned());
        let mut state = self.state.lock().await;
        loop {
            match &mut *state {
                State::Closed => {
                    let db = db.clone();
                    *state = State::Opening(Box::pin(async move { db.listen(&[CHANNEL]).await }));
                }
                State::Opening(opening) => match opening.await {
                    Ok(listener) => {
                        *state = State::Open(listener);
                        // For what came before.
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot listen for jobs of other processes; looks for them from time to time");
                        *state = State::Impossible(Instant::now() + LISTEN_AGAIN);
                    }
                },
                State::Impossible(until) => {
                    tokio::time::sleep_until(*until).await;
                    *state = State::Closed;
                }
                State::Open(listener) => return self.listen(listener, own).await,
            }
        }
    }

    async fn listen(&self, listener: &mut Listener, own: &Crier) {
        loop {
            let mut is_news = self.is_news(&listener.next().await, own);
            // While everybody was busy, several may have come.
            while let Some(notice) = listener.next().now_or_never() {
                is_news |= self.is_news(&notice, own);
            }
            if is_news {
                return;
            }
        }
    }

    fn is_news(&self, notice: &Notice, own: &Crier) -> bool {
        let Notice::Notification { payload, .. } = notice else { return true };
        let Some((crier, queue)) = payload.split_once(' ') else { return false };
        crier != own.id.to_string()
            && self.queues.lock().unwrap_or_else(PoisonError::into_inner).contains(queue)
    }
}

#[cfg(test)]
mod tests {
    use shared_core::InTenant;
    use shared_db::TenantTx;

    use super::*;
    use crate::backend::{Claim, Control, Fate, Settled, Work};
    use crate::dead::Reason;
    use crate::filter::DeadFilter;
    use crate::fixture::{Mail, tenant};
    use crate::postgres::Store;
    use crate::{Enqueue, NewJob};

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_told_of_now_and_then() {
        let crier = Crier::default();
        let cry = |queues: &[&str]| crier.cry(queues.iter().copied()).map_or(0, |words| words.len());
        assert_eq!(cry(&["mail", "mail", "films"]), 2);
        assert_eq!(cry(&["mail"]), 0);
        tokio::time::advance(CRY_EVERY).await;
        assert_eq!(cry(&["mail"]), 1);
        for queue in 0..2 * QUEUES {
            cry(&[&queue.to_string()]);
        }
        assert!(crier.cried.lock().unwrap().len() <= QUEUES);
    }

    #[test]
    fn what_concerns_nobody_here_is_no_news() {
        let (ears, own, other) = (Ears::default(), Crier::default(), Crier::default());
        ears.queues.lock().unwrap().insert("mail".into());
        assert!(ears.is_news(&Notice::MayHaveMissed, &own));
        let heard = |crier: &Crier, queue: &str| {
            let notice: Notice = said(&crier.cry([queue].into_iter()).unwrap()[0]);
            ears.is_news(&notice, &own)
        };
        assert!(heard(&other, "mail") && !heard(&other, "films") && !heard(&own, "mail"));
    }

    /// What is in the database stays there: this one is woken by words alone.
    #[tokio::test]
    async fn who_waits_hears_of_another_process() {
        let (db, database, _server) = crate::conformance::postgres().await;
        let elsewhere = Db::connect(&shared_db::Config::new(database.url())).await.unwrap();
        let (here, there) = (Store::new(&db), Store::new(&elsewhere));
        let wait = async || {
            let (queues, hour) = (["mail".into()], Duration::from_secs(3600));
            tokio::time::timeout(Duration::from_secs(30), here.wait(&queues, hour)).await.unwrap();
        };
        wait().await; // It listens now.
        let job = || NewJob::of(Mail { n: 1 }).queue("mail");
        let in_a_transaction = async || {
            let enqueue = async |tx: &mut TenantTx| tx.enqueue(job()).await;
            elsewhere.tenant(&tenant()).tx(enqueue).await.unwrap();
        };
        let by_itself = async || {
            let entry = job().entry(tenant().context()).unwrap();
            there.enqueue(vec![entry]).await.unwrap();
        };
        futures_util::join!(wait(), in_a_transaction());
        // It does not tell twice at once.
        there.crier.cried.lock().unwrap().clear();
        futures_util::join!(wait(), by_itself());
    }

    #[tokio::test]
    async fn who_waits_hears_of_what_others_bring_back() {
        let (db, database, _server) = crate::conformance::postgres().await;
        let elsewhere = Db::connect(&shared_db::Config::new(database.url())).await.unwrap();
        let (here, there) = (Store::new(&db), Store::new(&elsewhere));
        let queues: [Arc<str>; 1] = ["mail".into()];
        let wait = async || {
            let waiting = here.wait(&queues, Duration::from_secs(3600));
            tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
        };
        let (worker, number) = (Uuid::new_v4(), 1);
        there.register(worker, &queues, Duration::from_secs(3600)).await.unwrap();
        there
            .enqueue(vec![NewJob::of(Mail { n: 1 }).queue("mail").entry(tenant().context()).unwrap()])
            .await
            .unwrap();
        let claim = Claim { queue: "mail", most: 1, worker, number };
        let job = there.claim(claim).await.unwrap().remove(0).job;
        let fate = Fate::Dead(Reason::Failed, "no".to_owned());
        there.settle(worker, "mail", &[Settled::new(number, job, fate)]).await.unwrap();
        wait().await; // It listens now.
        let silence = || there.crier.cried.lock().unwrap().clear();
        silence();
        futures_util::join!(wait(), async { there.set_paused("mail", None, false).await.unwrap() });
        silence();
        let tenant = tenant().context().tenant();
        futures_util::join!(wait(), async { there.set_paused("mail", Some(tenant), false).await.unwrap() });
        silence();
        futures_util::join!(wait(), async {
            assert_eq!(there.redrive(&DeadFilter::default(), None, 9).await.unwrap(), [job]);
        });
    }

    fn said(words: &str) -> Notice {
        Notice::Notification { channel: CHANNEL.to_owned(), payload: words.to_owned() }
    }
}
