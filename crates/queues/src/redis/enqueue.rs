//! Jobs on their way in.

use futures_util::future::try_join_all;
use shared_db::redis::{Call, Redis};

use super::codec::{self, milliseconds};
use super::scripts::{ADD, ENQUEUE};
use super::{RedisBackend, STEP, STEP_BYTES};
use crate::backend::Entry;
use crate::joined::{MOST_JOBS, Writer};
use crate::{Enqueued, Error};

/// Scripts of one call that are under way at once: while the server works on one, the next is written.
const STEPS_AT_ONCE: usize = 4;

const _: () = assert!(MOST_JOBS <= STEP);

/// A queue as those see it who enqueue.
pub(super) struct Line {
    pub(super) redis: Redis,
    /// What all its keys begin with.
    pub(super) key: String,
}

impl Writer for Line {
    async fn write(&self, jobs: &[Entry]) -> Result<Vec<Enqueued>, shared_db::Error> {
        self.step(&jobs.iter().collect::<Vec<_>>()).await
    }
}

impl Line {
    /// Writes so many as one script takes, such as those that are joined.
    async fn step(&self, jobs: &[&Entry]) -> Result<Vec<Enqueued>, shared_db::Error> {
        match jobs.iter().all(|job| is_plain(job)) {
            true => self.add(jobs).await,
            false => self.put(jobs).await,
        }
    }

    /// Jobs that are [plain](is_plain).
    async fn add(&self, jobs: &[&Entry]) -> Result<Vec<Enqueued>, shared_db::Error> {
        let mut call = ADD.keys([&self.key]);
        for (owner, jobs) in by_owner(jobs) {
            call = call.arg(owner.as_slice()).arg(jobs.len());
            call = jobs.iter().fold(call, |call, job| call.arg(job.job.as_uuid().as_bytes().as_slice()));
            call = jobs.iter().fold(call, |call, job| call.arg(codec::text(job)));
        }
        let there: Vec<Vec<u8>> = self.redis.script(&call).await?;
        let mut there: Vec<_> = there.iter().filter_map(|job| codec::job(job)).collect();
        // Of a job that is there twice the first is the one that counts.
        let answers = jobs.iter().rev().map(|job| match there.iter().position(|known| *known == job.job) {
            Some(at) => Enqueued::Existing(there.swap_remove(at)),
            None => Enqueued::Inserted(job.job),
        });
        let mut answers: Vec<_> = answers.collect();
        answers.reverse();
        Ok(answers)
    }

    async fn put(&self, jobs: &[&Entry]) -> Result<Vec<Enqueued>, shared_db::Error> {
        let call = jobs.iter().fold(ENQUEUE.keys([&self.key]), |call, job| with_entry(call, job));
        let said: Vec<Vec<u8>> = self.redis.script(&call).await?;
        let answers = said.iter().map(|answer| read_answer(answer));
        answers.collect::<Option<_>>().ok_or_else(unanswered)
    }
}

impl RedisBackend {
    pub(super) fn line(&self, queue: &str) -> Line {
        Line { redis: self.redis.clone(), key: self.keys.queue(queue) }
    }

    /// Any number, queue by queue.
    pub(super) async fn enqueue_all(&self, jobs: &[Entry]) -> Result<Vec<Enqueued>, Error> {
        let mut answers: Vec<Option<Enqueued>> = vec![None; jobs.len()];
        let mut queues: Vec<(&str, Vec<usize>)> = Vec::new();
        for (at, job) in jobs.iter().enumerate() {
            match queues.iter_mut().find(|(queue, _)| *queue == job.queue) {
                Some((_, places)) => places.push(at),
                None => queues.push((&job.queue, vec![at])),
            }
        }
        for (queue, places) in queues {
            self.introduce(queue, false).await?;
            let line = self.line(queue);
            // Of those with an order none may come in before the ones in front of it.
            let at_once = if jobs.iter().all(is_plain) { STEPS_AT_ONCE } else { 1 };
            let mut said = Vec::with_capacity(places.len());
            for some in steps(&places, jobs).chunks(at_once) {
                let written: Vec<_> = some.iter().map(|step| line.step(step)).collect();
                said.extend(try_join_all(written).await?.into_iter().flatten());
            }
            for (at, answer) in places.iter().zip(said) {
                answers[*at] = Some(answer);
            }
        }
        Ok(answers.into_iter().collect::<Option<_>>().ok_or_else(unanswered)?)
    }
}

/// Due at once, without lane and uniqueness: most jobs are.
fn is_plain(entry: &Entry) -> bool {
    entry.delay.is_zero() && entry.order.is_none() && entry.limits.is_empty() && entry.unique.is_none()
}

/// Those that go into the same line.
fn by_owner<'a>(jobs: &[&'a Entry]) -> Vec<([u8; 18], Vec<&'a Entry>)> {
    let mut lines: Vec<([u8; 18], Vec<&Entry>)> = Vec::new();
    for job in jobs {
        let owner = codec::owner(job);
        match lines.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, line)) => line.push(job),
            None => lines.push((owner, vec![job])),
        }
    }
    lines
}

/// The four arguments of a job on its way in.
pub(super) fn with_entry(call: Call, entry: &Entry) -> Call {
    let tail = [codec::owner(entry).as_slice(), entry.job.as_uuid().as_bytes()].concat();
    call.arg(tail).arg(milliseconds(entry.delay)).arg(codec::text(entry)).arg(codec::unique(entry))
}

/// Parts that are small enough for one script each.
fn steps<'a>(places: &[usize], jobs: &'a [Entry]) -> Vec<Vec<&'a Entry>> {
    let mut all: Vec<Vec<&Entry>> = vec![Vec::new()];
    let mut bytes = 0;
    for job in places.iter().map(|at| &jobs[*at]) {
        let size = job.payload.len() + job.context.len();
        if let Some(step) = all.last_mut()
            && (step.is_empty() || step.len() < STEP && bytes + size <= STEP_BYTES)
        {
            step.push(job);
            bytes += size;
        } else {
            all.push(vec![job]);
            bytes = size;
        }
    }
    all
}

pub(super) fn unanswered() -> shared_db::Error {
    shared_db::Error::Config("a script of the queues gave no answer for a job".to_owned())
}

pub(super) fn read_answer(answer: &[u8]) -> Option<Enqueued> {
    let (word, job) = answer.split_first()?;
    let job = codec::job(job)?;
    match word {
        b'i' => Some(Enqueued::Inserted(job)),
        b'e' => Some(Enqueued::Existing(job)),
        b'r' => Some(Enqueued::Replaced(job)),
        _ => None,
    }
}
