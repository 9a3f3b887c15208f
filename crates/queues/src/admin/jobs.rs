use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared_core::{Problem, TenantId};

use super::extract::{At, Body, Params, Seconds, after, most, word};
use super::problem;
use super::wire::{JobJson, all};
use crate::cursor::Cursor;
use crate::{Cancelled, JobFilter, JobId, Queues, view};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    queue: Option<String>,
    name: Option<String>,
    tenant: Option<TenantId>,
    state: Option<String>,
    after: Option<String>,
    most: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct JobsJson {
    jobs: Vec<JobJson>,
    next: Option<String>,
}

pub(super) async fn search(
    State(queues): State<Queues>,
    Params(search): Params<Search>,
) -> Result<Json<JobsJson>, Problem> {
    let most = most(search.most)?;
    let words = view::State::ALL.map(view::State::as_str).join(", ");
    let state = word("state", search.state, view::State::read, &words)?;
    let after = after(search.after, Cursor::job)?;
    let filter = JobFilter { queue: search.queue, name: search.name, tenant: search.tenant, state, after };
    let jobs = queues.search(&filter, most).await.map_err(problem)?;
    let next = Cursor::behind(&jobs, most);
    Ok(Json(JobsJson { jobs: all(jobs), next }))
}

pub(super) async fn one(State(queues): State<Queues>, At(job): At<JobId>) -> Result<Json<JobJson>, Problem> {
    let job = queues.job(job).await.map_err(problem)?;
    job.map(|job| Json(job.into())).ok_or_else(Problem::not_found)
}

#[derive(Serialize)]
pub(super) struct CancelledJson {
    cancelled: &'static str,
}

pub(super) async fn cancel(
    State(queues): State<Queues>,
    At(job): At<JobId>,
) -> Result<Json<CancelledJson>, Problem> {
    let cancelled = match queues.cancel(job).await.map_err(problem)? {
        Cancelled::Removed => "removed",
        Cancelled::Asked => "asked",
        Cancelled::NotFound => return Err(Problem::not_found()),
    };
    Ok(Json(CancelledJson { cancelled }))
}

pub(super) async fn reschedule(
    State(queues): State<Queues>,
    At(job): At<JobId>,
    Body(wait): Body<Seconds>,
) -> Result<StatusCode, Problem> {
    match queues.reschedule(job, wait.read("a number that is not below 0")?).await.map_err(problem)? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found()),
    }
}
