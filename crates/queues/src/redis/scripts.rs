//! The scripts. Each is one step: it happens as a whole or not at all, with at most [`STEP`](super::STEP) jobs.

use shared_db::redis::Script;

/// A script of a queue, behind the parts that it shares with others.
macro_rules! script {
    ($name:literal, $($part:literal),+) => {
        Script::new($name, concat!(include_str!("common.lua"), $(include_str!($part)),+))
    };
}

/// What deals with lanes besides.
macro_rules! laned {
    ($name:literal, $($part:literal),+) => {
        script!($name, "bodies.lua", "lines.lua", "gates.lua", "limits.lua", "lanes.lua", $($part),+)
    };
}

pub(super) static ADD: Script = script!("queues_add", "lines.lua", "add.lua");
pub(super) static ENQUEUE: Script =
    laned!("queues_enqueue", "withdraw.lua", "replace.lua", "put.lua", "enqueue.lua");
pub(super) static ONCE: Script = laned!("queues_once", "withdraw.lua", "replace.lua", "put.lua", "once.lua");
pub(super) static FIRE: Script = laned!("queues_fire", "withdraw.lua", "replace.lua", "put.lua", "fire.lua");
pub(super) static CLAIM: Script =
    script!("queues_claim", "lines.lua", "gates.lua", "limits.lua", "lanes.lua", "admit.lua", "claim.lua");
pub(super) static SETTLE: Script = laned!("queues_settle", "end.lua", "settle.lua");
pub(super) static BACK: Script = laned!("queues_back", "end.lua", "hand_back.lua", "back.lua");
pub(super) static RENEW: Script = script!("queues_renew", "renew.lua");
pub(super) static HOLDINGS: Script = script!("queues_held", "held.lua");
pub(super) static PROMOTE: Script = laned!("queues_promote", "promote.lua");
pub(super) static CANCELS: Script = script!("queues_cancels", "cancels.lua");
pub(super) static PRUNE: Script = script!("queues_prune", "prune.lua");

pub(super) static CANCEL: Script = laned!("queues_cancel", "withdraw.lua", "cancel.lua");
pub(super) static RESCHEDULE: Script = laned!("queues_reschedule", "withdraw.lua", "reschedule.lua");
pub(super) static STATUS: Script = script!("queues_status", "lines.lua", "status.lua");
pub(super) static VIEW: Script = script!("queues_view", "bodies.lua", "view.lua");
pub(super) static FIND: Script = script!("queues_find", "lines.lua", "find.lua");
pub(super) static LETTERS: Script = script!("queues_letters", "bodies.lua", "letters.lua");
pub(super) static REDRIVE: Script = laned!("queues_redrive", "redrive.lua");
pub(super) static STEER: Script = laned!("queues_steer", "steer.lua");
pub(super) static RULES: Script = script!("queues_rules", "rules.lua");
pub(super) static USES: Script = laned!("queues_uses", "uses.lua");
pub(super) static GRANT: Script = laned!("queues_grant", "grant.lua");
pub(super) static SCHEDULE: Script = script!("queues_schedule", "schedule.lua");

pub(super) static LEASE: Script = Script::new("queues_lease", include_str!("lease.lua"));
pub(super) static BUCKET: Script = Script::new("queues_bucket", include_str!("bucket.lua"));
pub(super) static GLOBAL_RULES: Script = Script::new("queues_global_rules", include_str!("global_rules.lua"));
