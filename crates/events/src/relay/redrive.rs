use std::collections::HashSet;

use shared_core::TenantId;

use super::attempt::{Outcome, Taken, attempt};
use super::{Core, parking};
use crate::Error;

/// Keys looked up at once.
const KEYS_AT_ONCE: i64 = 100;

/// What a redrive did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redriven {
    /// Events whose effect is there now.
    pub delivered: u64,
    /// Keys that are parked still: their first event failed again, or its type has no consumer in this program.
    pub keys_parked: u64,
}

pub(crate) async fn redrive(core: &Core, consumer: &str) -> Result<Redriven, Error> {
    if !core.consumers.iter().any(|known| known.name == consumer) {
        return Err(Error::UnknownConsumer { consumer: consumer.to_owned() });
    }
    let (mut done, mut after) = (Redriven::default(), 0);
    // A key that gets on and then fails comes up again, by its next event; one attempt is enough.
    let mut given_up = HashSet::new();
    loop {
        let keys = core.db.system().all(&parking::KEYS, (consumer, after, KEYS_AT_ONCE)).await?;
        let Some(last) = keys.last().map(|(_, _, first)| *first) else { return Ok(done) };
        after = last;
        for (tenant, key, _) in keys {
            if given_up.contains(&(tenant, key.clone())) {
                continue;
            }
            if !redrive_key(core, consumer, tenant, &key, &mut done).await? {
                done.keys_parked += 1;
                given_up.insert((tenant, key));
            }
        }
    }
}

/// Whether the key is free.
async fn redrive_key(
    core: &Core,
    consumer: &str,
    tenant: TenantId,
    key: &str,
    done: &mut Redriven,
) -> Result<bool, Error> {
    while let Some(event) = core.db.system().opt(&parking::FIRST, (consumer, tenant, key)).await? {
        let Some(to) = core.consumers.iter().find(|to| to.name == consumer && to.event == event.name) else {
            return Ok(false);
        };
        match attempt(core, to, &event, Taken::FromParking).await? {
            Outcome::Effect => done.delivered += 1,
            Outcome::Known | Outcome::KeyIsParked => {}
            Outcome::Failed(failure) => {
                tracing::warn!(consumer, event = event.name, event.id = %event.id, "still parked: {failure}");
                parking::still_parked(&core.db, consumer, &event, &failure).await?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}
