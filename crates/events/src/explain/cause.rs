use std::fmt;
use std::time::Duration;

use shared_core::TenantId;

use super::look::LivingRelay;
use crate::Lane;
use crate::operate::{Holder, Kind, LaneStatus, ParkedState, SubscriptionStatus};

/// A lane with work that has not moved for so long is stuck: three leases of the default length survive a holder that restarts.
const STUCK: Duration = Duration::from_secs(30);

/// With its oldest event this far back, and nothing else in its way, a subscription is slow.
const SLOW: Duration = Duration::from_secs(10);

/// A day: the least that retention drops.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What holds a subscription up, or events of it. Its `Display` says what it is, and what to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// An operator has stopped it.
    Paused,
    /// Events wait, or are to be tried again, and no relay is alive. Of an intake nobody knows whether events wait then.
    NoRelay,
    /// A replay has come to the tick at which it ends.
    ReplayIsOver,
    /// A relay has a lane and does not bring it forward.
    #[non_exhaustive]
    StuckHolder {
        /// The lane.
        lane: Lane,
        /// Who has it.
        holder: Holder,
        /// For how long the lane has stood still.
        still: Duration,
    },
    /// The relays that are alive have left a lane to nobody.
    #[non_exhaustive]
    FreeLane {
        /// The lane.
        lane: Lane,
        /// For how long it has stood still.
        still: Duration,
    },
    /// Somebody else has written to a lane of a sink, and what comes next can't be put behind that.
    #[non_exhaustive]
    ForeignWriter {
        /// Which sink.
        sink: String,
        /// The lane.
        lane: Lane,
        /// What was found there, and what to do about it.
        why: String,
    },
    /// A sink has failed so often that it is left in peace for a while.
    #[non_exhaustive]
    OpenBreaker {
        /// Which one.
        sink: String,
        /// The relay's machine.
        host: String,
        /// The relay's process.
        pid: u32,
        /// What the sink said last, if the relay tells.
        error: Option<String>,
    },
    /// An intake can't read its broker, or not bring forward what it has read.
    #[non_exhaustive]
    CannotRead {
        /// The intake's machine.
        host: String,
        /// The intake's process.
        pid: u32,
        /// Why.
        error: String,
    },
    /// An event failed, and the later ones of its key wait behind it.
    #[non_exhaustive]
    ParkedKey {
        /// Whose it is.
        tenant: TenantId,
        /// The consumer, or the sink.
        consumer: String,
        /// What it is about.
        key: String,
        /// Whether it is tried again by itself.
        state: ParkedState,
        /// Attempts that were made.
        attempts: u32,
        /// Why the last one failed.
        reason: Option<String>,
        /// Events of the key that are parked, this one included.
        events: u64,
    },
    /// A transaction is open: what it has published, or will, can't be seen before it commits. Nobody else's events wait for it.
    #[non_exhaustive]
    OpenTransaction {
        /// The server's process that it is in.
        pid: u32,
        /// What the client calls itself; may be empty.
        application: String,
        /// For how long, at least.
        open: Duration,
    },
    /// The same of a transaction that was prepared, and whose client may be long gone.
    #[non_exhaustive]
    PreparedTransaction {
        /// Its name.
        gid: String,
        /// Who prepared it.
        owner: String,
        /// For how long.
        open: Duration,
    },
    /// It is read by nobody, or stopped, and so far back that the log can't be shortened.
    #[non_exhaustive]
    HoldsRetention {
        /// How old its oldest event is.
        oldest: Duration,
    },
    /// Nothing stands in its way: its sink or its consumers take events slower than they come.
    #[non_exhaustive]
    Slow {
        /// Which of the two.
        kind: Kind,
        /// How old the oldest event is.
        oldest: Duration,
    },
}

impl Cause {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::NoRelay => "no_relay",
            Self::ReplayIsOver => "replay_is_over",
            Self::StuckHolder { .. } => "stuck_holder",
            Self::FreeLane { .. } => "free_lane",
            Self::ForeignWriter { .. } => "foreign_writer",
            Self::OpenBreaker { .. } => "open_breaker",
            Self::CannotRead { .. } => "cannot_read",
            Self::ParkedKey { .. } => "parked_key",
            Self::OpenTransaction { .. } => "open_transaction",
            Self::PreparedTransaction { .. } => "prepared_transaction",
            Self::HoldsRetention { .. } => "holds_retention",
            Self::Slow { .. } => "slow",
        }
    }

    /// Whether it explains why the subscription as a whole is late; the others hold single events.
    const fn explains_lag(&self) -> bool {
        !matches!(
            self,
            Self::ParkedKey { .. } | Self::OpenTransaction { .. } | Self::PreparedTransaction { .. }
        )
    }
}

/// What can be said from the subscription's own rows.
pub(super) fn of_relays(
    status: &SubscriptionStatus,
    lanes: &[LaneStatus],
    relays: &[LivingRelay],
) -> Vec<Cause> {
    let mut causes = Vec::new();
    if status.paused {
        causes.push(Cause::Paused);
    }
    if status.is_over() {
        causes.push(Cause::ReplayIsOver);
    }
    if relays.is_empty() && (status.waiting > 0 || status.parked > 0 || !status.kind.is_of_log()) {
        causes.push(Cause::NoRelay);
    }
    let foreign: Vec<Cause> = relays.iter().flat_map(LivingRelay::foreign_writer).collect();
    if !status.paused && !relays.is_empty() {
        // Of these it is known why.
        let is_foreign = |of: &LaneStatus| {
            foreign.iter().any(|cause| matches!(cause, Cause::ForeignWriter { lane, .. } if *lane == of.lane))
        };
        let stalled = lanes.iter().filter(|lane| lane.is_stalled(STUCK) && !is_foreign(lane));
        causes.extend(stalled.map(standing));
    }
    causes.extend(foreign);
    causes.extend(relays.iter().filter_map(LivingRelay::open_breaker));
    if !status.kind.is_of_log() {
        causes.extend(relays.iter().filter_map(LivingRelay::cannot_read));
        return causes;
    }
    let is_left = status.paused || relays.is_empty();
    let held = status.oldest.filter(|oldest| is_left && *oldest >= DAY);
    causes.extend(held.map(|oldest| Cause::HoldsRetention { oldest }));
    causes
}

fn standing(lane: &LaneStatus) -> Cause {
    let still = lane.still;
    match &lane.holder {
        Some(holder) => Cause::StuckHolder { lane: lane.lane, holder: holder.clone(), still },
        None => Cause::FreeLane { lane: lane.lane, still },
    }
}

/// What is left when nothing else explains it.
pub(super) fn slow(status: &SubscriptionStatus, causes: &[Cause]) -> Option<Cause> {
    let oldest = status.oldest.filter(|oldest| *oldest >= SLOW)?;
    (!causes.iter().any(Cause::explains_lag)).then_some(Cause::Slow { kind: status.kind, oldest })
}

/// A time as one says it.
pub(crate) fn words(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{} s", time.as_secs()),
        60..3600 => format!("{} min", time.as_secs() / 60),
        3600..172_800 => format!("{} h", time.as_secs() / 3600),
        _ => format!("{} days", time.as_secs() / 86_400),
    }
}

/// Words of others, as far as a line of a terminal is theirs: a sink's remedy with the longest prefix takes some 600 characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => write!(f, "an operator has stopped it; resume it"),
            Self::NoRelay => {
                write!(f, "no relay of it is alive; start the program that reads it, or retire it")
            }
            Self::ReplayIsOver => {
                write!(f, "the replay has come to its end; stop its program, and retire it")
            }
            Self::StuckHolder { lane, holder, still } => write!(
                f,
                "lane {lane} has not moved for {}, and the relay {} has it; look at its log, or end that process: another takes over",
                words(*still),
                plain(&holder.to_string())
            ),
            Self::FreeLane { lane, still } => write!(
                f,
                "lane {lane} has not moved for {}, and no relay has it; look at the logs of those that are alive",
                words(*still)
            ),
            Self::ForeignWriter { sink, lane, why } => {
                let (sink, why) = (plain(sink), plain(why));
                write!(
                    f,
                    "somebody else has written to lane {lane} of the sink `{sink}`, which waits until that is taken out: {why}"
                )
            }
            Self::OpenBreaker { sink, host, pid, error } => {
                let (sink, host) = (plain(sink), plain(host));
                write!(
                    f,
                    "the sink `{sink}` fails, and process {pid} on {host} leaves it in peace for a while"
                )?;
                error.as_deref().map_or(Ok(()), |error| write!(f, ": {}", plain(error)))
            }
            Self::CannotRead { host, pid, error } => {
                write!(
                    f,
                    "process {pid} on {} can't go on reading: {}; it tries again by itself",
                    plain(host),
                    plain(error)
                )
            }
            Self::ParkedKey { tenant, consumer, key, state, attempts, reason, events } => {
                let (consumer, key) = (plain(consumer), plain(key));
                write!(f, "`{consumer}` failed {attempts} times at key `{key}` of tenant {tenant}, ")?;
                write!(f, "of which {events} events are parked")?;
                reason.as_deref().map_or(Ok(()), |reason| write!(f, ": {}", plain(reason)))?;
                f.write_str(match state {
                    ParkedState::Dead => "; mend that, then redrive it, or discard it",
                    _ => "; it is tried again by itself",
                })
            }
            Self::OpenTransaction { pid, application, open } => write!(
                f,
                "process {pid} of the server (`{}`) has had a transaction open for {}; what it publishes comes when it commits, and nothing else waits for it",
                plain(application),
                words(*open)
            ),
            Self::PreparedTransaction { gid, owner, open } => write!(
                f,
                "`{}` prepared the transaction `{}` {} ago; what it has published comes with `commit prepared`",
                plain(owner),
                plain(gid),
                words(*open)
            ),
            Self::HoldsRetention { oldest } => write!(
                f,
                "its oldest event is {} old, and no day of the log from then on can be dropped; let it go on, or retire it",
                words(*oldest)
            ),
            Self::Slow { kind, oldest } => {
                let who = if *kind == Kind::Sink { "sink takes" } else { "consumers take" };
                let oldest = words(*oldest);
                write!(
                    f,
                    "its {who} events slower than they come, and the oldest is {oldest} old; start more relays, or look why one event takes that long"
                )
            }
        }
    }
}
