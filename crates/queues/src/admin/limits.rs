use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared_core::Problem;

use super::extract::{At, Body, Page, Params, Seconds, after, most, wrong};
use super::problem;
use super::wire::all;
use crate::cursor::Cursor;
use crate::{Limit, LimitStatus, Queues, Rate};

/// A limit, as it is set and as it is shown.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitJson {
    at_once: Option<u32>,
    rate: Option<RateJson>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RateJson {
    count: u32,
    period_seconds: f64,
    burst: Option<u32>,
}

impl From<Limit> for LimitJson {
    fn from(limit: Limit) -> Self {
        let rate = limit.rate.map(|Rate { count, period, burst }| RateJson {
            count,
            period_seconds: period.as_secs_f64(),
            burst: Some(burst),
        });
        Self { at_once: limit.concurrency, rate }
    }
}

impl TryFrom<RateJson> for Rate {
    type Error = Problem;

    fn try_from(json: RateJson) -> Result<Self, Problem> {
        let period = Duration::try_from_secs_f64(json.period_seconds)
            .map_err(|_| wrong("/rate/period_seconds", "expected 0.001 to 86400".to_owned()))?;
        Ok(Self { count: json.count, period, burst: json.burst.unwrap_or(json.count) })
    }
}

impl TryFrom<LimitJson> for Limit {
    type Error = Problem;

    fn try_from(json: LimitJson) -> Result<Self, Problem> {
        if json.at_once.is_none() && json.rate.is_none() {
            return Err(wrong("/at_once", "expected this or a rate, or both".to_owned()));
        }
        Ok(Self { concurrency: json.at_once, rate: json.rate.map(Rate::try_from).transpose()? })
    }
}

#[derive(Serialize)]
struct LimitStatusJson {
    name: String,
    key: Option<String>,
    of_queue: bool,
    limit: Option<LimitJson>,
    running: u64,
    tokens: Option<f64>,
    held_for_seconds: Option<f64>,
}

impl From<LimitStatus> for LimitStatusJson {
    fn from(status: LimitStatus) -> Self {
        Self {
            name: status.name,
            key: status.key,
            of_queue: status.of_queue,
            limit: status.limit.map(LimitJson::from),
            running: status.running,
            tokens: status.tokens,
            held_for_seconds: status.held_for.map(|time| time.as_secs_f64()),
        }
    }
}

#[derive(Serialize)]
pub(super) struct LimitsJson {
    limits: Vec<LimitStatusJson>,
    next: Option<String>,
}

pub(super) async fn list(
    State(queues): State<Queues>,
    Params(page): Params<Page>,
) -> Result<Json<LimitsJson>, Problem> {
    let (most, after) = (most(page.most)?, after(page.after, Cursor::limit)?);
    let limits = queues.limits_behind(after.as_ref(), most).await.map_err(problem)?;
    let next = Cursor::behind(&limits, most);
    Ok(Json(LimitsJson { limits: all(limits), next }))
}

/// Of the name, or of one key of it. A key may hold any characters, so it stands in the query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    key: Option<String>,
}

pub(super) async fn set(
    State(queues): State<Queues>,
    At(name): At<String>,
    Params(Key { key }): Params<Key>,
    Body(limit): Body<LimitJson>,
) -> Result<StatusCode, Problem> {
    let set = queues.set_limit(&name, key.as_deref(), Some(limit.try_into()?)).await;
    set.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}

pub(super) async fn remove(
    State(queues): State<Queues>,
    At(name): At<String>,
    Params(Key { key }): Params<Key>,
) -> Result<StatusCode, Problem> {
    let removed = queues.set_limit(&name, key.as_deref(), None).await;
    removed.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}

pub(super) async fn set_of_queue(
    State(queues): State<Queues>,
    At(queue): At<String>,
    Body(limit): Body<LimitJson>,
) -> Result<StatusCode, Problem> {
    let set = queues.queue(queue).limit(Some(limit.try_into()?)).await;
    set.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}

pub(super) async fn remove_of_queue(
    State(queues): State<Queues>,
    At(queue): At<String>,
) -> Result<StatusCode, Problem> {
    queues.queue(queue).limit(None).await.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}

pub(super) async fn hold(
    State(queues): State<Queues>,
    At(name): At<String>,
    Params(Key { key }): Params<Key>,
    Body(time): Body<Seconds>,
) -> Result<StatusCode, Problem> {
    let held = queues.hold(&name, key.as_deref(), time.read("0 to 86400")?).await;
    held.map(|()| StatusCode::NO_CONTENT).map_err(problem)
}
