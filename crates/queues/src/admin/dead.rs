use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared_core::{Problem, TenantId};

use super::extract::{Body, Params, after, most, most_changed, word, wrong};
use super::problem;
use super::wire::{DeadJson, all};
use crate::cursor::Cursor;
use crate::{DeadFilter, JobId, Queues, Reason};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    job: Option<JobId>,
    queue: Option<String>,
    name: Option<String>,
    tenant: Option<TenantId>,
    reason: Option<String>,
    older_than_seconds: Option<u64>,
    after: Option<String>,
    most: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    job: Option<JobId>,
    queue: Option<String>,
    name: Option<String>,
    tenant: Option<TenantId>,
    reason: Option<String>,
    older_than_seconds: Option<u64>,
}

impl Which {
    /// `reason` is where that stands: in a query or in a body.
    fn filter(self, reason: &str) -> Result<DeadFilter, Problem> {
        let words = Reason::ALL.map(Reason::as_str).join(", ");
        Ok(DeadFilter {
            job: self.job,
            queue: self.queue,
            name: self.name,
            tenant: self.tenant,
            reason: word(reason, self.reason, Reason::read, &words)?,
            older_than: self.older_than_seconds.map(Duration::from_secs),
            after: None,
        })
    }
}

/// What is to be changed is said: nobody throws everything away by a body that is empty.
fn said(which: Option<Which>, every: bool) -> Result<DeadFilter, Problem> {
    let filter = which.map_or(Ok(DeadFilter::new()), |which| which.filter("/filter/reason"))?;
    if (filter == DeadFilter::new()) != every {
        return Err(wrong(
            "/filter",
            "expected a filter with a field, or `all`: true, and not both".to_owned(),
        ));
    }
    Ok(filter)
}

#[derive(Serialize)]
pub(super) struct DeadLettersJson {
    dead_letters: Vec<DeadJson>,
    next: Option<String>,
}

pub(super) async fn list(
    State(queues): State<Queues>,
    Params(search): Params<Search>,
) -> Result<Json<DeadLettersJson>, Problem> {
    let (most, after) = (most(search.most)?, after(search.after, Cursor::letter)?);
    let Search { job, queue, name, tenant, reason, older_than_seconds, .. } = search;
    let filter = Which { job, queue, name, tenant, reason, older_than_seconds }.filter("reason")?;
    let filter = DeadFilter { after, ..filter };
    let letters = queues.dead_letters(&filter, most).await.map_err(problem)?;
    let next = Cursor::behind(&letters, most);
    Ok(Json(DeadLettersJson { dead_letters: all(letters), next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redrive {
    filter: Option<Which>,
    #[serde(default)]
    all: bool,
    into: Option<String>,
    most: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct RedrivenJson {
    jobs: Vec<JobId>,
}

/// One page, as fast as it goes: a request is no place to wait in. Who wants a rate asks again, or takes the command line.
pub(super) async fn redrive(
    State(queues): State<Queues>,
    Body(redrive): Body<Redrive>,
) -> Result<Json<RedrivenJson>, Problem> {
    let most = most_changed(redrive.most)?;
    let work = queues.redrive(said(redrive.filter, redrive.all)?).most(most.into());
    let jobs = match redrive.into {
        Some(queue) => work.into(queue).await,
        None => work.await,
    };
    Ok(Json(RedrivenJson { jobs: jobs.map_err(problem)? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Discard {
    filter: Option<Which>,
    #[serde(default)]
    all: bool,
    most: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct DiscardedJson {
    discarded: u64,
}

pub(super) async fn discard(
    State(queues): State<Queues>,
    Body(discard): Body<Discard>,
) -> Result<Json<DiscardedJson>, Problem> {
    let most = most_changed(discard.most)?;
    let discarded = queues.discard(said(discard.filter, discard.all)?, most.into()).await.map_err(problem)?;
    Ok(Json(DiscardedJson { discarded }))
}
