//! What stands in Redis, as [`keys`](super::keys) describes it.

use std::time::Duration;

use shared_core::TenantId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::{Claimed, Entry};
use crate::limit::{Limit, Rate};
use crate::unique::OnDuplicate;
use crate::{JobId, Priority, Progress};

/// How a job is treated by the scripts: a plain one is neither.
///
/// Who holds it can be looked up, since its text may be replaced while nobody does.
const WATCHED: u8 = 1;
/// It passes a gate.
const LANED: u8 = 2;

/// Band, kind and tenant: whose line it waits in.
pub(super) fn owner(entry: &Entry) -> [u8; 18] {
    let is_watched = entry.unique.as_ref().is_some_and(|unique| unique.on_duplicate.replaces());
    let is_laned = entry.order.is_some() || !entry.limits.is_empty();
    let mut owner = [0; 18];
    owner[0] = entry.priority.band() as u8;
    owner[1] = if is_watched { WATCHED } else { 0 } | if is_laned { LANED } else { 0 };
    owner[2..].copy_from_slice(entry.tenant.as_uuid().as_bytes());
    owner
}

/// Gate, version, name, context and payload.
pub(super) fn text(entry: &Entry) -> Vec<u8> {
    let gate = gate(entry);
    let size = 12 + gate.len() + entry.name.len() + entry.context.len() + entry.payload.len();
    let mut text = Vec::with_capacity(size);
    put_short(&mut text, &gate);
    text.extend_from_slice(&entry.version.to_be_bytes());
    put_short(&mut text, entry.name.as_bytes());
    text.extend_from_slice(&(entry.context.len() as u32).to_be_bytes());
    text.extend_from_slice(entry.context.as_bytes());
    text.extend_from_slice(entry.payload.as_bytes());
    text
}

/// Its lane and, with an ordering key, its limits; empty for a job that has none.
fn gate(entry: &Entry) -> Vec<u8> {
    if entry.order.is_none() && entry.limits.is_empty() {
        return Vec::new();
    }
    let mut ids: Vec<Vec<u8>> =
        entry.limits.iter().map(|limit| limit_id(&limit.name, limit.key.as_deref())).collect();
    ids.sort();
    ids.dedup();
    let mut limits = Vec::new();
    ids.iter().for_each(|id| put_short(&mut limits, id));
    let kind = if entry.order.is_some() { b'o' } else { b'l' };
    let mut lane = vec![kind];
    lane.extend_from_slice(entry.tenant.as_uuid().as_bytes());
    lane.extend_from_slice(entry.order.as_ref().map_or(limits.as_slice(), |order| order.as_bytes()));
    let mut gate = vec![kind];
    put_short(&mut gate, &lane);
    if entry.order.is_some() {
        gate.extend_from_slice(&limits);
    }
    gate
}

/// Mode, period and key; empty for a job that may be there twice.
pub(super) fn unique(entry: &Entry) -> Vec<u8> {
    let Some(unique) = &entry.unique else { return Vec::new() };
    let (mode, period) = match unique.on_duplicate {
        OnDuplicate::Reject | OnDuplicate::Existing => (b'e', Duration::ZERO),
        OnDuplicate::Throttle(period) => (b't', period),
        OnDuplicate::Debounce => (b'd', Duration::ZERO),
        OnDuplicate::KeepLatest => (b'k', Duration::ZERO),
    };
    let mut all = vec![mode];
    all.extend_from_slice(&milliseconds(period).to_be_bytes());
    all.extend_from_slice(entry.tenant.as_uuid().as_bytes());
    all.extend_from_slice(entry.name.as_bytes());
    all.push(0);
    all.extend_from_slice(unique.key.as_bytes());
    all
}

/// A name, or a name and a key.
pub(super) fn limit_id(name: &str, key: Option<&str>) -> Vec<u8> {
    let mut id = name.as_bytes().to_vec();
    if let Some(key) = key {
        id.push(0);
        id.extend_from_slice(key.as_bytes());
    }
    id
}

/// Name and key of a limit.
pub(super) fn limit_name(id: &[u8]) -> (String, Option<String>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match id.iter().position(|byte| *byte == 0) {
        Some(at) => (text(&id[..at]), Some(text(&id[at + 1..]))),
        None => (text(id), None),
    }
}

/// Jobs at once (-1: any number), tokens per period (0: no bucket), the period in milliseconds, the bucket's size.
pub(super) fn limit(limit: Limit) -> Vec<u8> {
    let mut rule =
        limit.concurrency.map_or(-1, |most| most.min(i32::MAX as u32) as i32).to_be_bytes().to_vec();
    let rate = limit.rate.unwrap_or(Rate { count: 0, period: Duration::from_millis(1), burst: 0 });
    rule.extend_from_slice(&rate.count.to_be_bytes());
    rule.extend_from_slice(&(milliseconds(rate.period).max(1) as f64).to_be_bytes());
    rule.extend_from_slice(&rate.burst.to_be_bytes());
    rule
}

/// The limit that was written so.
pub(super) fn read_limit(rule: &[u8]) -> Option<Limit> {
    let mut bytes = Bytes(rule);
    let most = i32::from_be_bytes(bytes.array()?);
    let count = bytes.u32()?;
    let period = Duration::from_millis(f64::from_be_bytes(bytes.array()?) as u64);
    let burst = bytes.u32()?;
    let rate = (count > 0).then_some(Rate { count, period, burst });
    Some(Limit { concurrency: u32::try_from(most).ok(), rate })
}

pub(super) fn progress(progress: &Progress) -> Vec<u8> {
    let mut bytes = progress.part.to_be_bytes().to_vec();
    bytes.extend_from_slice(progress.note.as_bytes());
    bytes
}

pub(super) fn read_progress(bytes: &[u8]) -> Option<Progress> {
    let mut bytes = Bytes(bytes);
    let part = f64::from_be_bytes(bytes.array()?);
    Some(Progress::new(part, &String::from_utf8_lossy(bytes.0)))
}

/// A body as far as it can be read without its payload.
pub(super) struct Body<'a> {
    pub(super) attempts: u32,
    pub(super) crashes: u32,
    pub(super) due: u64,
    pub(super) enqueued: u64,
    pub(super) priority: Priority,
    pub(super) tenant: TenantId,
    pub(super) version: u32,
    pub(super) name: String,
    is_laned: bool,
    /// What is behind the name: context and payload.
    rest: Option<&'a [u8]>,
}

impl<'a> Body<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        let (attempts, crashes) = (bytes.u32()?, bytes.u32()?);
        let (due, enqueued) = (bytes.u64()?, bytes.u64()?);
        let size = bytes.u32()? as usize;
        let _position = bytes.u64()?;
        let [band, kind] = bytes.array()?;
        let tenant = TenantId::from_uuid(Uuid::from_bytes(bytes.array()?));
        let gate = bytes.short()?;
        let version = bytes.u32()?;
        let name = String::from_utf8(bytes.short()?.to_vec()).ok()?;
        let rest = size.checked_sub(8 + gate.len() + name.len()).and_then(|left| bytes.0.get(..left));
        let priority = Priority::from_band(i16::from(band));
        let is_laned = kind & LANED != 0;
        Some(Self { attempts, crashes, due, enqueued, priority, tenant, version, name, is_laned, rest })
    }

    /// The whole job, as its worker gets it.
    pub(super) fn claimed(self, job: JobId, now: u64) -> Option<Claimed> {
        let mut rest = Bytes(self.rest?);
        let context = rest.long()?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Claimed {
            job,
            tenant: self.tenant,
            name: self.name,
            version: self.version,
            payload: text(rest.0)?,
            context: text(context)?,
            attempts: self.attempts,
            waited: Duration::from_millis(now.saturating_sub(self.due)),
            age: Duration::from_millis(now.saturating_sub(self.enqueued)),
            is_laned: self.is_laned,
        })
    }
}

pub(super) fn job(bytes: &[u8]) -> Option<JobId> {
    Uuid::from_slice(bytes).ok().map(JobId::from_uuid)
}

/// The number of a claim.
pub(super) fn claim(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

/// A hundred years, in milliseconds: sums of times stay exact in the numbers of Lua.
const LONGEST: u64 = 100 * 366 * 24 * 3600 * 1000;

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(LONGEST, |all| all.min(LONGEST))
}

/// The moment as [`instant`] was given it.
pub(super) fn moment(instant: OffsetDateTime) -> u64 {
    u64::try_from(instant.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

pub(super) fn instant(milliseconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn put_short(all: &mut Vec<u8>, bytes: &[u8]) {
    all.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    all.extend_from_slice(bytes);
}

/// Read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let size = u16::from_be_bytes(self.array()?);
        self.take(usize::from(size))
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let size = self.u32()?;
        self.take(size as usize)
    }
}
