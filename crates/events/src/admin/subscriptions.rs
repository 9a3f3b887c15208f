use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared_core::Problem;

use super::extract::{At, Page, Params, after, most};
use super::problem;
use super::wire::{ExplanationJson, LaneJson, SubscriptionJson, all};
use crate::Subscriptions;
use crate::cursor::Cursor;

#[derive(Serialize)]
pub(super) struct SubscriptionsJson {
    subscriptions: Vec<SubscriptionJson>,
    next: Option<String>,
}

pub(super) async fn list(
    State(subscriptions): State<Subscriptions>,
    Params(page): Params<Page>,
) -> Result<Json<SubscriptionsJson>, Problem> {
    let most = most(page.most)?;
    let after = after(page.after, Cursor::subscription)?;
    let mut found = subscriptions.status().await.map_err(problem)?;
    found.retain(|one| after.as_ref().is_none_or(|after| one.name > *after));
    found.truncate(most as usize);
    let next = Cursor::behind(&found, most);
    Ok(Json(SubscriptionsJson { subscriptions: all(found), next }))
}

pub(super) async fn one(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<Json<SubscriptionJson>, Problem> {
    let status = subscriptions.subscription(name).status().await.map_err(problem)?;
    status.map(|status| Json(status.into())).ok_or_else(Problem::not_found)
}

#[derive(Serialize)]
pub(super) struct LanesJson {
    lanes: Vec<LaneJson>,
}

/// All sixteen: no page of theirs is worth its name.
pub(super) async fn lanes(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<Json<LanesJson>, Problem> {
    let lanes = subscriptions.subscription(name).lanes().await.map_err(problem)?;
    if lanes.is_empty() { Err(Problem::not_found()) } else { Ok(Json(LanesJson { lanes: all(lanes) })) }
}

pub(super) async fn explain(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<Json<ExplanationJson>, Problem> {
    let subscription = subscriptions.subscription(name);
    subscription.status().await.map_err(problem)?.ok_or_else(Problem::not_found)?;
    Ok(Json(subscription.explain().await.map_err(problem)?.into()))
}

pub(super) async fn pause(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<StatusCode, Problem> {
    there(subscriptions.subscription(name).pause().await.map_err(problem)?)
}

pub(super) async fn resume(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<StatusCode, Problem> {
    there(subscriptions.subscription(name).resume().await.map_err(problem)?)
}

pub(super) async fn retire(
    State(subscriptions): State<Subscriptions>,
    At(name): At<String>,
) -> Result<StatusCode, Problem> {
    there(subscriptions.subscription(name).retire().await.map_err(problem)?)
}

pub(super) fn there(found: bool) -> Result<StatusCode, Problem> {
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
}
