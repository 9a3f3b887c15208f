//! What has to be done now and then, so that the tables do not grow for ever and the chains of the audit log are anchored.

use std::fmt;
use std::time::Duration;

use shared_db::{Db, statements};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::audit::{self, Root, each_root};
use crate::{Error, prune};

/// How often to look whether it is time: a look is one small statement, and a minute is little beside the hour between two upkeeps.
const LOOK: Duration = Duration::from_secs(60);

statements! {
    /// The turn, of whoever comes first: until when entries are too old, in seconds before now, and which roots are told already.
    const BEGIN: Statement<(f64, f64), (OffsetDateTime, Option<OffsetDateTime>)> = "
        update shared_security.audit_upkeep set begun_at = clock_timestamp()
         where begun_at <= clock_timestamp() - make_interval(secs => $1)
        returning clock_timestamp() - make_interval(secs => $2), told_until";
    const TOLD: Statement<(OffsetDateTime,), ()> = "
        update shared_security.audit_upkeep set told_until = greatest(told_until, $1)";
}

/// The task that looks after the tables of this crate. Every [`upkeep_every`](audit::Config::upkeep_every), in one of all instances, it
/// - [removes what is over](prune): sessions, users without one, revocations, counters of failed logins;
/// - tells the roots of those chains of the audit log that have grown, as [`audit::roots`] does, in a log line each with the target
///   `audit` and the JSON in the field `root`: from then on nobody who owns the database alone can make those chains anew unseen.
///   Where log lines are collected elsewhere, which they should be, [`Verify::anchors`](audit::Verify::anchors) takes them from there;
/// - [prunes](audit::prune) batches of the audit log that are older than [`keep`](audit::Config::keep).
///
/// What fails is logged and comes again with the next turn. A root may be told twice, and is not left out.
///
/// [`stop`](Self::stop) ends it, and dropping it too, at once: what was committed stays done, and the next turn goes on.
pub struct Upkeep {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Upkeep {
    /// Begins, in a task of its own.
    pub fn start(db: Db, config: &audit::Config) -> Self {
        let stop = CancellationToken::new();
        let work = Work { db, every: config.upkeep_every, keep: config.keep };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            stopped.run_until_cancelled(work.run()).await;
        });
        Self { stop, task: AbortOnDropHandle::new(task) }
    }

    /// Returns when nothing of it runs any more.
    pub async fn stop(self) {
        self.stop.cancel();
        // Nobody else has the handle to abort it.
        let _ = self.task.await;
    }
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeep").field("is_running", &!self.task.is_finished()).finish_non_exhaustive()
    }
}

struct Work {
    db: Db,
    every: Duration,
    keep: Duration,
}

impl Work {
    async fn run(self) {
        loop {
            if let Err(error) = self.turn().await {
                tracing::warn!(%error, "the upkeep of sessions and of the audit log was not done; its next turn tries again");
            }
            tokio::time::sleep(self.every.min(LOOK)).await;
        }
    }

    /// Does it, if it is time and no other instance was faster.
    async fn turn(&self) -> Result<(), Error> {
        let spans = (self.every.as_secs_f64(), self.keep.as_secs_f64());
        let Some((before, told)) = self.db.system().opt(&BEGIN, spans).await? else { return Ok(()) };
        prune(&self.db).await?;
        // Before they go, entries are anchored.
        self.tell(told).await?;
        audit::prune(&self.db, before).await?;
        Ok(())
    }

    /// Chains that were sealed while the last turn read may share their time with some that it saw: those of that time come again.
    async fn tell(&self, since: Option<OffsetDateTime>) -> Result<(), Error> {
        let mut latest = None;
        each_root(&self.db, since, |root: &Root| {
            latest = latest.max(Some(root.until));
            let json = serde_json::to_string(root).map_err(|error| Error::Output(error.into()))?;
            tracing::info!(target: "audit", tenant_id = %root.tenant, root = json, "the end of a chain of the audit log");
            Ok(())
        })
        .await?;
        if let Some(latest) = latest {
            self.db.system().execute(&TOLD, (latest,)).await?;
        }
        Ok(())
    }
}
