use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared_core::{Problem, TenantId};
use time::OffsetDateTime;
use time::serde::rfc3339;

use super::extract::{At, Body, wrong};
use super::problem;
use super::subscriptions::there;
use super::wire::ProjectionJson;
use crate::{Place, Replay, Subscriptions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    subscription: String,
    #[serde(default, with = "rfc3339::option")]
    since: Option<OffsetDateTime>,
    place: Option<String>,
    tenant: Option<TenantId>,
    key: Option<String>,
    #[serde(default)]
    events: Vec<String>,
    rate: Option<f32>,
    #[serde(default)]
    until_now: bool,
}

pub(super) async fn begin(
    State(subscriptions): State<Subscriptions>,
    Body(begin): Body<Begin>,
) -> Result<StatusCode, Problem> {
    let place = begin.place.map(|place| place.parse::<Place>()).transpose();
    let place = place.map_err(|error| wrong("/place", error.to_string()))?;
    if place.is_some() && begin.since.is_some() {
        return Err(wrong("/place", "expected `since` or `place`, and not both".to_owned()));
    }
    let mut replay = subscriptions.replay(begin.subscription).events(begin.events);
    replay = begin.since.into_iter().fold(replay, Replay::since);
    replay = place.into_iter().fold(replay, Replay::from_place);
    replay = begin.tenant.into_iter().fold(replay, Replay::tenant);
    replay = begin.key.into_iter().fold(replay, Replay::key);
    replay = begin.rate.into_iter().fold(replay, Replay::at_rate);
    let replay = if begin.until_now { replay.until_now() } else { replay };
    replay.await.map(|()| StatusCode::CREATED).map_err(problem)
}

pub(super) async fn projection(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<Json<ProjectionJson>, Problem> {
    let status = subscriptions.projection(name).status().await.map_err(problem)?;
    status.map(|status| Json(status.into())).ok_or_else(Problem::not_found)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rebuild {
    fed_by: String,
}

#[derive(Serialize)]
pub(super) struct BuildingJson {
    generation: u32,
    subscription: String,
}

pub(super) async fn rebuild(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
    Body(rebuild): Body<Rebuild>,
) -> Result<Json<BuildingJson>, Problem> {
    let projection = subscriptions.projection(name);
    let generation = projection.rebuild(&rebuild.fed_by).await.map_err(problem)?;
    Ok(Json(BuildingJson { generation, subscription: projection.subscription(generation) }))
}

#[derive(Serialize)]
pub(super) struct LiveJson {
    generation: u32,
}

pub(super) async fn switch(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<Json<LiveJson>, Problem> {
    let generation = subscriptions.projection(name).switch().await.map_err(problem)?;
    Ok(Json(LiveJson { generation }))
}

pub(super) async fn abandon(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<StatusCode, Problem> {
    there(subscriptions.projection(name).abandon().await.map_err(problem)?)
}
