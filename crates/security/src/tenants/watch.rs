//! The task that hears of changes made by other processes, and looks for those that it has not heard of.

use std::sync::Arc;
use std::time::Instant;

use shared_core::TenantId;
use shared_db::{Db, Listener, Notice, statements};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::Error;

/// What the database tells of changes on; the payload is the tenant.
pub(super) const CHANNEL: &str = "shared_security_tenant";

statements! {
    /// Tenants changed by transactions that the look before has not seen, and from where the next look has to begin.
    const CHANGED: Statement<(String,), (String, Option<TenantId>, Option<i64>)> = "
        select here.low, tenant.tenant_id, tenant.epoch
        from (select pg_snapshot_xmin(pg_current_snapshot())::text as low) here
            left join shared_security.tenant on tenant.changed >= $1::text::xid8";
}

/// How far the changes have been seen: every transaction below this number had ended.
pub(super) struct Seen(u64);

impl Seen {
    /// From now on; nothing is cached that could have changed before.
    pub(super) async fn from_now(db: &Db) -> Result<Self, Error> {
        let mut seen = Self(u64::MAX);
        seen.look(db).await?;
        Ok(seen)
    }

    /// What has changed since; `None` where the database is another one than before, or went back in time.
    async fn look(&mut self, db: &Db) -> Result<Option<Vec<(TenantId, i64)>>, Error> {
        let rows = db.system().all(&CHANGED, (self.0.to_string(),)).await?;
        let low = rows.first().and_then(|(low, ..)| low.parse().ok()).unwrap_or(0);
        let went_back = low < self.0;
        self.0 = low;
        let changed = rows.into_iter().filter_map(|(_, tenant, epoch)| Some((tenant?, epoch?)));
        Ok((!went_back).then(|| changed.collect()))
    }
}

/// Until it is stopped.
pub(super) async fn watch(
    shared: Arc<Shared>,
    mut seen: Seen,
    mut listener: Listener,
    stop: CancellationToken,
) {
    let mut poll = interval(shared.config.poll);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            notice = listener.next() => heard(&shared, &notice),
            _ = poll.tick() => look(&shared, &mut seen).await,
        }
    }
}

fn heard(shared: &Shared, notice: &Notice) {
    match notice {
        Notice::Notification { payload, .. } => match payload.parse() {
            Ok(tenant) => shared.cache.forget(tenant),
            Err(_) => shared.cache.forget_all(),
        },
        _ => shared.cache.forget_all(),
    }
}

async fn look(shared: &Shared, seen: &mut Seen) {
    let began = Instant::now();
    match seen.look(&shared.db).await {
        Ok(Some(changed)) => {
            changed.into_iter().for_each(|(tenant, epoch)| shared.cache.forget_other_than(tenant, epoch));
            shared.confirm(began);
        }
        Ok(None) => {
            shared.cache.forget_all();
            shared.confirm(began);
        }
        Err(error) => tracing::warn!(%error, "changes of tenants can't be looked for; trying again"),
    }
}
