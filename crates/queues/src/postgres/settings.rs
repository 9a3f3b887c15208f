//! What operators set for queues and tenants: pauses and weights.

use shared_core::TenantId;
use shared_db::statements;

use super::Store;
use crate::Error;

statements! {
    const PAUSE_QUEUE: Statement<(String, bool), ()> = "
        insert into shared_queues.queue as q (name, paused) values ($1, $2)
            on conflict (name) do update set paused = excluded.paused";
    const PAUSE_TENANT: Statement<(String, TenantId, bool), ()> = "
        insert into shared_queues.share as s (queue, tenant_id, paused) values ($1, $2, $3)
            on conflict (queue, tenant_id) do update set paused = excluded.paused";
    /// Lanes of a tenant that goes on; a slice of them.
    const OPEN_LANES: Statement<(String, TenantId, i64), ()> = "
        update shared_queues.lane set state = 'open', turn = nextval('shared_queues.lane_turn')
         where id = any (array(select id from shared_queues.lane
                                where queue = $1 and tenant_id = $2 and state = 'paused' limit $3 for update))";
    const WEIGH: Statement<(String, TenantId, i32), ()> = "
        insert into shared_queues.share as s (queue, tenant_id, weight) values ($1, $2, $3)
            on conflict (queue, tenant_id) do update set weight = excluded.weight";
}

/// Lanes that are opened in one statement at most.
const OPENED_AT_ONCE: i64 = 1000;

impl Store {
    pub(super) async fn pause_queue(&self, queue: &str, paused: bool) -> Result<(), Error> {
        self.db.system().execute(&PAUSE_QUEUE, (queue, paused)).await?;
        if !paused {
            self.tell(&[queue]).await;
        }
        Ok(())
    }

    /// A claim that saw the tenant paused has set its lanes aside before this can be stored; so they are opened afterwards.
    pub(super) async fn pause_tenant(
        &self,
        queue: &str,
        tenant: TenantId,
        paused: bool,
    ) -> Result<(), Error> {
        let door = self.db.system();
        door.execute(&PAUSE_TENANT, (queue, tenant, paused)).await?;
        if !paused {
            while door.execute(&OPEN_LANES, (queue, tenant, OPENED_AT_ONCE)).await?
                == OPENED_AT_ONCE.unsigned_abs()
            {}
            self.tell(&[queue]).await;
        }
        Ok(())
    }

    pub(super) async fn weigh(&self, queue: &str, tenant: TenantId, weight: u32) -> Result<(), Error> {
        let weight = i32::try_from(weight.clamp(1, 100)).unwrap_or(1);
        self.db.system().execute(&WEIGH, (queue, tenant, weight)).await?;
        Ok(())
    }
}
