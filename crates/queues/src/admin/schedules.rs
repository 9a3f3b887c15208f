use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared_core::Problem;

use super::extract::{At, Body, Params, after, most, word};
use super::problem;
use super::wire::{ScheduleJson, all};
use crate::cursor::Cursor;
use crate::{MissedRuns, Queues, ScheduleEdit};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    queue: Option<String>,
    after: Option<String>,
    most: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct SchedulesJson {
    schedules: Vec<ScheduleJson>,
    next: Option<String>,
}

pub(super) async fn list(
    State(queues): State<Queues>,
    Params(search): Params<Search>,
) -> Result<Json<SchedulesJson>, Problem> {
    let (most, after) = (most(search.most)?, after(search.after, Cursor::schedule)?);
    let mut found = queues.schedules().list(search.queue.as_deref()).await.map_err(problem)?;
    found.retain(|one| after.as_ref().is_none_or(|(queue, name)| (&one.queue, &one.name) > (queue, name)));
    found.truncate(most as usize);
    let next = Cursor::behind(&found, most);
    Ok(Json(SchedulesJson { schedules: all(found), next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    cron: Option<String>,
    zone: Option<String>,
    missed: Option<String>,
}

pub(super) async fn edit(
    State(queues): State<Queues>,
    At((queue, name)): At<(String, String)>,
    Body(body): Body<Edit>,
) -> Result<Json<ScheduleJson>, Problem> {
    let words = MissedRuns::ALL.map(MissedRuns::as_str).join(", ");
    let missed = word("/missed", body.missed, MissedRuns::read, &words)?;
    let edit = ScheduleEdit { cron: body.cron, zone: body.zone, missed };
    let edited = queues.schedules().edit(&queue, &name, edit).await.map_err(problem)?;
    edited.map(|schedule| Json(schedule.into())).ok_or_else(Problem::not_found)
}

pub(super) async fn pause(
    State(queues): State<Queues>,
    At((queue, name)): At<(String, String)>,
) -> Result<StatusCode, Problem> {
    there(queues.schedules().pause(&queue, &name).await.map_err(problem)?)
}

pub(super) async fn resume(
    State(queues): State<Queues>,
    At((queue, name)): At<(String, String)>,
) -> Result<StatusCode, Problem> {
    there(queues.schedules().resume(&queue, &name).await.map_err(problem)?)
}

pub(super) async fn remove(
    State(queues): State<Queues>,
    At((queue, name)): At<(String, String)>,
) -> Result<StatusCode, Problem> {
    there(queues.schedules().remove(&queue, &name).await.map_err(problem)?)
}

fn there(found: bool) -> Result<StatusCode, Problem> {
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
}
