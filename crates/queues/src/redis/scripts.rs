//! The scripts. Each is one step: it happens as a whole or not at all, with at most [`STEP`](super::STEP) jobs.

use shared_db::redis::Script;

/// A script of a queue, behind what all of them share.
macro_rules! script {
    ($name:literal, $($part:literal),+) => {
        Script::new($name, concat!(include_str!("common.lua"), include_str!("lanes.lua"), $(include_str!($part)),+))
    };
}

pub(super) static ENQUEUE: Script = script!("queues_enqueue", "put.lua", "enqueue.lua");
pub(super) static ONCE: Script = script!("queues_once", "put.lua", "once.lua");
pub(super) static FIRE: Script = script!("queues_fire", "put.lua", "fire.lua");
pub(super) static CLAIM: Script = script!("queues_claim", "claim.lua");
pub(super) static SETTLE: Script = script!("queues_settle", "end.lua", "settle.lua");
pub(super) static BACK: Script = script!("queues_back", "end.lua", "back.lua");
pub(super) static RENEW: Script = script!("queues_renew", "renew.lua");
pub(super) static PROMOTE: Script = script!("queues_promote", "promote.lua");
pub(super) static CANCELS: Script = script!("queues_cancels", "cancels.lua");
pub(super) static PRUNE: Script = script!("queues_prune", "prune.lua");

pub(super) static CANCEL: Script = script!("queues_cancel", "put.lua", "cancel.lua");
pub(super) static STATUS: Script = script!("queues_status", "status.lua");
pub(super) static VIEW: Script = script!("queues_view", "view.lua");
pub(super) static FIND: Script = script!("queues_find", "find.lua");
pub(super) static LETTERS: Script = script!("queues_letters", "letters.lua");
pub(super) static REDRIVE: Script = script!("queues_redrive", "redrive.lua");
pub(super) static STEER: Script = script!("queues_steer", "steer.lua");
pub(super) static RULES: Script = script!("queues_rules", "rules.lua");
pub(super) static USES: Script = script!("queues_uses", "uses.lua");
pub(super) static GRANT: Script = script!("queues_grant", "grant.lua");
pub(super) static SCHEDULE: Script = script!("queues_schedule", "schedule.lua");

pub(super) static LEASE: Script = Script::new("queues_lease", include_str!("lease.lua"));
pub(super) static BUCKET: Script = Script::new("queues_bucket", include_str!("bucket.lua"));
pub(super) static GLOBAL_RULES: Script = Script::new("queues_global_rules", include_str!("global_rules.lua"));
