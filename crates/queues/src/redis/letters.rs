//! Dead letters: seen, brought back, thrown away.

use shared_db::redis::Call;

use super::codec::{self, Body, instant, milliseconds};
use super::scripts::{LETTERS, REDRIVE};
use super::work::number;
use super::{RedisBackend, STEP};
use crate::backend::DeadFilter;
use crate::dead::{DeadLetter, Reason};
use crate::{Error, JobId};

/// Letters of a queue that one call looks at: with a filter that lets few through it ends there, and the next call goes on only as
/// far. As in a search for jobs.
const LOOKED_AT: usize = 10_000;

/// The time; for each letter job, when, reason, body without payload, error.
type Page = (u64, Vec<(Vec<u8>, u64, u8, Vec<u8>, String)>);

/// From which end a queue's letters are looked through.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum From {
    Latest,
    Oldest,
}

impl RedisBackend {
    /// Those that the filter lets through, in order over all queues.
    pub(super) async fn letters(
        &self,
        filter: &DeadFilter,
        from: From,
        most: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let queues = match &filter.queue {
            Some(queue) => vec![queue.clone()],
            None => self.names().await?,
        };
        let mut all = Vec::new();
        for queue in &queues {
            all.extend(self.letters_of(queue, filter, from, most).await?);
        }
        all.sort_by_key(|letter| (letter.died_at, letter.job_id));
        if from == From::Latest {
            all.reverse();
        }
        all.truncate(most);
        Ok(all)
    }

    async fn letters_of(
        &self,
        queue: &str,
        filter: &DeadFilter,
        from: From,
        most: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let mut all = Vec::new();
        for at in (0..LOOKED_AT).step_by(STEP) {
            let call = self.on(&LETTERS, queue);
            let call = match (filter.job, from) {
                (Some(job), _) => call.arg("one").arg(job.as_uuid().as_bytes().as_slice()),
                (None, From::Latest) => {
                    let call = call.arg("latest").arg(at).arg(STEP);
                    filter.after.iter().fold(call, |call, (died, _)| call.arg(codec::moment(*died)))
                }
                (None, From::Oldest) => call.arg("oldest").arg(at).arg(STEP),
            };
            let (now, rows): Page = self.run(call).await?;
            let is_last = rows.len() < STEP;
            let aged =
                |died: u64| filter.older_than.is_none_or(|age| now.saturating_sub(died) > milliseconds(age));
            let some = rows.into_iter().filter(|row| aged(row.1)).filter_map(|row| letter(queue, row));
            all.extend(some.filter(|letter| passes(filter, letter)));
            if is_last || all.len() >= most {
                break;
            }
        }
        Ok(all)
    }

    /// Brings letters back into a queue, their own or another one.
    pub(super) async fn bring_back(
        &self,
        letters: &[DeadLetter],
        into: Option<&str>,
    ) -> Result<Vec<JobId>, Error> {
        if let Some(into) = into {
            self.introduce(into, false).await?;
        }
        let mut all = Vec::new();
        for (queue, jobs) in steps(letters) {
            all.extend(match into.filter(|into| *into != queue) {
                None => self.done(self.on(&REDRIVE, queue).arg("here"), &jobs).await?,
                Some(into) => self.carry(queue, into, &jobs).await?,
            });
        }
        Ok(all)
    }

    /// To another queue, and so to another slot: it is there before it is gone here. A caller that dies in between leaves a
    /// job with a letter; the next redrive finds the job and removes the letter.
    async fn carry(&self, queue: &str, into: &str, jobs: &[JobId]) -> Result<Vec<JobId>, Error> {
        let call = with_jobs(self.on(&REDRIVE, queue).arg("read"), jobs);
        let letters: Vec<(Vec<u8>, Vec<u8>)> = self.run(call).await?;
        let call = letters.iter().fold(self.on(&REDRIVE, into).arg("there"), |call, (job, letter)| {
            call.arg(job.as_slice()).arg(letter.as_slice())
        });
        let carried: Vec<Vec<u8>> = self.run(call).await?;
        let carried: Vec<JobId> = carried.iter().filter_map(|job| codec::job(job)).collect();
        self.done(self.on(&REDRIVE, queue).arg("discard"), &carried).await
    }

    pub(super) async fn throw_away(&self, letters: &[DeadLetter]) -> Result<u64, Error> {
        let mut all = 0;
        for (queue, jobs) in steps(letters) {
            all += self.done(self.on(&REDRIVE, queue).arg("discard"), &jobs).await?.len() as u64;
        }
        Ok(all)
    }

    async fn done(&self, call: Call, jobs: &[JobId]) -> Result<Vec<JobId>, Error> {
        let done: Vec<Vec<u8>> = self.run(with_jobs(call, jobs)).await?;
        Ok(done.iter().filter_map(|job| codec::job(job)).collect())
    }
}

fn with_jobs(call: Call, jobs: &[JobId]) -> Call {
    jobs.iter().fold(call, |call, job| call.arg(job.as_uuid().as_bytes().as_slice()))
}

/// In their order, as far as neighbours are of one queue.
fn steps(letters: &[DeadLetter]) -> Vec<(&str, Vec<JobId>)> {
    let runs = letters.chunk_by(|a, b| a.queue == b.queue);
    let steps = runs.flat_map(|run| run.chunks(STEP));
    steps
        .filter_map(|step| Some((step.first()?.queue.as_str(), step.iter().map(|one| one.job_id).collect())))
        .collect()
}

fn letter(queue: &str, row: (Vec<u8>, u64, u8, Vec<u8>, String)) -> Option<DeadLetter> {
    let (job, died, reason, body, error) = row;
    let body = Body::read(&body)?;
    let reasons = [Reason::Failed, Reason::Exhausted, Reason::Crashed, Reason::Unreadable];
    Some(DeadLetter {
        job_id: codec::job(&job)?,
        name: body.name,
        queue: queue.to_owned(),
        tenant: body.tenant,
        attempts: body.attempts,
        crashes: body.crashes,
        reason: reasons.into_iter().find(|known| number(*known) == reason)?,
        error,
        died_at: instant(died),
    })
}

fn passes(filter: &DeadFilter, letter: &DeadLetter) -> bool {
    filter.job.is_none_or(|job| job == letter.job_id)
        && filter.name.as_ref().is_none_or(|name| *name == letter.name)
        && filter.tenant.is_none_or(|tenant| tenant == letter.tenant)
        && filter.reason.is_none_or(|reason| reason == letter.reason)
        && filter.after.is_none_or(|after| (letter.died_at, letter.job_id) < after)
}
