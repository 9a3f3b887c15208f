//! Jobs by what they are, and jobs by their id.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::codec::{self, Body, instant};
use super::scripts::{FIND, VIEW};
use super::{RedisBackend, STEP};
use crate::backend::JobFilter;
use crate::view::{JobView, State};
use crate::{Error, JobId};

/// Jobs that a search looks at, of each queue and state; the contract names it.
const LOOKED_AT: u32 = 10_000;

/// Job, state, body without payload, error, worker, progress, when it ended, result.
type Row = (Vec<u8>, String, Vec<u8>, String, Vec<u8>, Vec<u8>, u64, String);

impl RedisBackend {
    /// The jobs of a queue that are there, of these.
    async fn views(&self, queue: &str, jobs: &[JobId]) -> Result<Vec<JobView>, Error> {
        let call = jobs
            .iter()
            .fold(self.on(&VIEW, queue), |call, job| call.arg(job.as_uuid().as_bytes().as_slice()));
        let rows: Vec<Row> = self.run(call).await?;
        Ok(rows.into_iter().filter_map(|row| view(queue, row)).collect())
    }

    /// A job has no queue in its id, so all queues are asked; once more if none has it, since it may have been brought back from one that was
    /// asked later into one that was asked before.
    pub(super) async fn view_of(&self, job: JobId) -> Result<Option<JobView>, Error> {
        for _ in 0..2 {
            let queues = self.names().await?;
            let asked = queues.iter().map(|queue| self.views(queue, std::slice::from_ref(&job)));
            let view = try_join_all(asked).await?.into_iter().flatten().next();
            if view.is_some() {
                return Ok(view);
            }
        }
        Ok(None)
    }

    pub(super) async fn search_for(&self, filter: &JobFilter, most: u32) -> Result<Vec<JobView>, Error> {
        let queues = match &filter.queue {
            Some(queue) => vec![queue.clone()],
            None => self.names().await?,
        };
        let states = filter.state.map_or_else(|| State::ALL.to_vec(), |state| vec![state]);
        let mut found: HashMap<JobId, &str> = HashMap::new();
        for queue in &queues {
            for state in &states {
                let jobs: Vec<Vec<u8>> =
                    self.run(self.on(&FIND, queue).arg(state.as_str()).arg(LOOKED_AT)).await?;
                let jobs = jobs.iter().filter_map(|job| codec::job(job));
                let behind = jobs.filter(|job| filter.after.is_none_or(|after| *job < after));
                found.extend(behind.map(|job| (job, queue.as_str())));
            }
        }
        let mut found: Vec<(JobId, &str)> = found.into_iter().collect();
        found.sort_by(|a, b| b.cmp(a));
        let mut all = Vec::new();
        for some in found.chunks(STEP) {
            if all.len() >= most as usize {
                break;
            }
            all.extend(self.matching(some, filter).await?);
        }
        all.truncate(most as usize);
        Ok(all)
    }

    /// Those of a part of what was found that the filter lets through, the latest first.
    async fn matching(&self, some: &[(JobId, &str)], filter: &JobFilter) -> Result<Vec<JobView>, Error> {
        let mut by_queue: HashMap<&str, Vec<JobId>> = HashMap::new();
        for (job, queue) in some {
            by_queue.entry(queue).or_default().push(*job);
        }
        let views = by_queue.iter().map(|(queue, jobs)| self.views(queue, jobs));
        let mut views: Vec<JobView> = try_join_all(views).await?.into_iter().flatten().collect();
        views.retain(|view| {
            filter.name.as_ref().is_none_or(|name| *name == view.name)
                && filter.tenant.is_none_or(|tenant| tenant == view.tenant)
                && filter.state.is_none_or(|state| state == view.state)
        });
        views.sort_unstable_by_key(|view| std::cmp::Reverse(view.job_id));
        Ok(views)
    }
}

fn view(queue: &str, row: Row) -> Option<JobView> {
    let (job, state, body, error, worker, progress, ended, result) = row;
    let body = Body::read(&body)?;
    Some(JobView {
        job_id: codec::job(&job)?,
        tenant: body.tenant,
        queue: queue.to_owned(),
        name: body.name,
        version: body.version,
        state: State::ALL.into_iter().find(|known| known.as_str() == state)?,
        priority: body.priority,
        attempts: body.attempts,
        crashes: body.crashes,
        enqueued_at: instant(body.enqueued),
        due_at: instant(body.due),
        worker: Uuid::from_slice(&worker).ok().map(|worker| worker.to_string()),
        progress: codec::read_progress(&progress),
        error: some_text(error),
        result: some_text(result),
        ended_at: (ended > 0).then(|| instant(ended)),
    })
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
