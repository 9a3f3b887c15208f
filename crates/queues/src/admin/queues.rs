use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared_core::{Problem, TenantId};

use super::extract::{At, Body, Page, Params, after, most};
use super::problem;
use super::wire::{QueueJson, all};
use crate::Queues;
use crate::cursor::Cursor;

#[derive(Serialize)]
pub(super) struct QueuesJson {
    queues: Vec<QueueJson>,
    next: Option<String>,
}

pub(super) async fn list(
    State(queues): State<Queues>,
    Params(page): Params<Page>,
) -> Result<Json<QueuesJson>, Problem> {
    let most = most(page.most)?;
    let after = after(page.after, Cursor::queue)?;
    let mut found = queues.status().await.map_err(problem)?;
    found.retain(|queue| after.as_ref().is_none_or(|after| queue.queue > *after));
    found.truncate(most as usize);
    let next = Cursor::behind(&found, most);
    Ok(Json(QueuesJson { queues: all(found), next }))
}

pub(super) async fn one(
    State(queues): State<Queues>,
    At(queue): At<String>,
) -> Result<Json<QueueJson>, Problem> {
    let status = queues.queue(queue).status().await.map_err(problem)?;
    status.map(|status| Json(status.into())).ok_or_else(Problem::not_found)
}

/// All of the queue, or one tenant's jobs in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whom {
    tenant: Option<TenantId>,
}

pub(super) async fn pause(
    State(queues): State<Queues>,
    At(queue): At<String>,
    Body(whom): Body<Whom>,
) -> Result<StatusCode, Problem> {
    let queue = queues.queue(queue);
    let paused = match whom.tenant {
        Some(tenant) => queue.pause_tenant(tenant).await,
        None => queue.pause().await,
    };
    paused.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}

pub(super) async fn resume(
    State(queues): State<Queues>,
    At(queue): At<String>,
    Body(whom): Body<Whom>,
) -> Result<StatusCode, Problem> {
    let queue = queues.queue(queue);
    let resumed = match whom.tenant {
        Some(tenant) => queue.resume_tenant(tenant).await,
        None => queue.resume().await,
    };
    resumed.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Share {
    weight: u32,
}

pub(super) async fn weigh(
    State(queues): State<Queues>,
    At((queue, tenant)): At<(String, TenantId)>,
    Body(share): Body<Share>,
) -> Result<StatusCode, Problem> {
    let weighed = queues.queue(queue).weight(tenant, share.weight).await;
    weighed.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}
