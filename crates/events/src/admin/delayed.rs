use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared_core::{Problem, TenantId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::extract::{At, Page, Params, after, most};
use super::problem;
use super::subscriptions::there;
use super::wire::{DelayedJson, all};
use crate::Subscriptions;
use crate::cursor::Cursor;
use crate::delayed::{cancel_delayed, delayed_behind};

#[derive(Serialize)]
pub(super) struct DelayedListJson {
    delayed: Vec<DelayedJson>,
    next: Option<String>,
}

pub(super) async fn list(
    State(subscriptions): State<Subscriptions>,
    Params(page): Params<Page>,
) -> Result<Json<DelayedListJson>, Problem> {
    let (most, after) = (most(page.most)?, after(page.after, Cursor::delayed)?);
    let after = after.unwrap_or((OffsetDateTime::UNIX_EPOCH, Uuid::nil()));
    let delayed = delayed_behind(&subscriptions.db, after, most).await.map_err(problem)?;
    let next = Cursor::behind(&delayed, most);
    Ok(Json(DelayedListJson { delayed: all(delayed), next }))
}

pub(super) async fn cancel(
    State(subscriptions): State<Subscriptions>,
    At((tenant, event)): At<(TenantId, Uuid)>,
) -> Result<StatusCode, Problem> {
    there(cancel_delayed(&subscriptions.db, tenant, event).await.map_err(problem)?)
}
