//! Where everything is: names and formats are a contract between versions of this crate.
//!
//! Numbers inside of values are big-endian. A *ticket* is position (8 bytes), band (1), kind (1: 0 plain, 1 watched, 2 laned, 3 both),
//! tenant (16) and job (16); its first 26 bytes are the job's *place*. Positions are given out when jobs come in and never change. A
//! *gate* is what a laned job has to pass: `o` or `l` (ordered or not), its lane (size 2), and if it is ordered its limits (size 2 each).
//!
//! Under `{prefix:queue}`, in one slot of a cluster:
//!
//! | key | type | what |
//! |---|---|---|
//! | `:bodies` | hash | job → attempts (4), crashes (4), due, enqueued (8 each), size of the text (4), place, text (gate with its size, 2; version, 4; name with its size, 2; context with its size, 4; payload), last error |
//! | `:ready:<band><tenant>` | list, and a sorted set with `*` behind its name | a line of jobs: new ones, and those that came back, by position |
//! | `:ring:<band>` | list | tenants with ready jobs, in the order of their turns |
//! | `:later` | sorted set | tickets by the time when they are due |
//! | `:admitted` | hash | laned jobs that were let through and are ready |
//! | `:lane:<lane>` | as `:ready` | the line of a lane: `o` or `l`, tenant, and the ordering key or the limits (each with its size, 2) |
//! | `:lanes` | hash | lane → `o` open, `b` blocked by a limit, `t` waits for a time, `r` ordered with a job admitted, `p` tenant paused; its turn (8); jobs that wait in it, how many of them came back (4 each); the limit that opened it |
//! | `:open` | sorted set | open lanes by their turns |
//! | `:blocked:<limit>` | sorted set | lanes that wait for a limit, by their turns |
//! | `:at` | sorted set | when to look again: `b` and a limit, `l` and a lane |
//! | `:limits` | hash | limit → running, units leased, cap, whether lanes may wait for it (4 each); number of the last question, end of the lease, tokens, last use, when it was asked for, when to ask again (8 each) |
//! | `:leased` | sorted set | limits by when their lease is looked after |
//! | `:rules` | hash | `s` and a limit → version (8), `1` or `0`, jobs at once (4), tokens (4), period (8), burst (4); `h` and a limit → held until |
//! | `:workers` | sorted set | incarnations by the end of their lease |
//! | `:dying` | hash | incarnation whose jobs are being taken → `c` it crashed, `r` it retired |
//! | `:running:<worker>` | hash | job → number of the claim (8), kind (1), gate |
//! | `:held` | hash | job that is watched → incarnation |
//! | `:cancels`, `:progress` | hash | running job → somebody wants it cancelled; part (8) and note |
//! | `:marks` | hash | tenant, name, 0, key → job, end of the throttle (8); `1`, job → job, until when it is remembered that it came (8) |
//! | `:ghosts` | hash | jobs that are still in the list of a line, but not in the line |
//! | `:dead`, `:died` | hash, sorted set | job → died (8), reason (1), body; jobs by when they died |
//! | `:finished`, `:forget` | hash, sorted set | job → ended (8), until (8), `c` or `x`, sizes of result and error (4 each), both, body without context and payload; jobs by until when |
//! | `:settings` | hash | `paused`; `waiting`: jobs in lanes; `limit`, `tokens`, `stamp`: the queue's own limit; `cursor`, `held`: where the next prune goes on |
//! | `:weights`, `:credit`, `:parked` | hash | tenant → weight; what is left of its turn; bands whose ring it left while it is paused |
//! | `:parked:<tenant>` | list | lanes that left the open ones while the tenant is paused |
//! | `:schedules`, `:slots`, `:timings`, `:stopped` | hash | schedule → record (JSON), next slot (us), cron and zone, paused |
//! | `:slots_due` | sorted set | schedules by when somebody looks at them: at the next slot, or later after it could not be fired |
//! | `:positions` | number | the last position |
//! | `:wake` | list | a marker for a worker that waits |
//!
//! Elsewhere: `prefix:queues`, the set of queues, to which each process that uses one adds it every 30 s; `prefix:rules`, a hash with the rules of all limits, of which each queue has a copy; and
//! for each limit with a rule `{prefix:limit:<limit>}`, a hash with who has leased how much of it.

/// The names of keys.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What all keys of a queue begin with.
    pub(super) fn queue(&self, queue: &str) -> String {
        format!("{{{}:{queue}}}", self.prefix)
    }

    /// On which workers of a queue wait.
    pub(super) fn wake(&self, queue: &str) -> String {
        format!("{}:wake", self.queue(queue))
    }

    pub(super) fn registry(&self) -> String {
        format!("{}:queues", self.prefix)
    }

    pub(super) fn rules(&self) -> String {
        format!("{}:rules", self.prefix)
    }

    pub(super) fn limit(&self, limit: &[u8]) -> Vec<u8> {
        [b"{", self.prefix.as_bytes(), b":limit:", limit, b"}"].concat()
    }
}
