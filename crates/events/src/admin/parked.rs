use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared_core::{Problem, TenantId};

use super::extract::{Body, Params, after, most, most_changed, word, wrong};
use super::problem;
use super::wire::{ParkedJson, all};
use crate::cursor::Cursor;
use crate::{ParkedFilter, ParkedState, Subscriptions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    subscription: Option<String>,
    consumer: Option<String>,
    tenant: Option<TenantId>,
    key: Option<String>,
    event: Option<String>,
    reason: Option<String>,
    state: Option<String>,
    after: Option<String>,
    most: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    subscription: Option<String>,
    consumer: Option<String>,
    tenant: Option<TenantId>,
    key: Option<String>,
    event: Option<String>,
    reason: Option<String>,
}

impl Which {
    fn filter(self) -> ParkedFilter {
        let Self { subscription, consumer, tenant, key, event, reason } = self;
        ParkedFilter { subscription, consumer, tenant, key, event, reason, state: None, after: None }
    }
}

/// What is to be changed is said: nobody throws everything away by a body that is empty.
fn said(which: Option<Which>, every: bool) -> Result<ParkedFilter, Problem> {
    let filter = which.map_or_else(ParkedFilter::new, Which::filter);
    if (filter == ParkedFilter::new()) != every {
        let expected = "expected a filter with a field, or `all`: true, and not both";
        return Err(wrong("/filter", expected.to_owned()));
    }
    Ok(filter)
}

#[derive(Serialize)]
pub(super) struct ParkedListJson {
    parked: Vec<ParkedJson>,
    next: Option<String>,
}

pub(super) async fn list(
    State(subscriptions): State<Subscriptions>,
    Params(search): Params<Search>,
) -> Result<Json<ParkedListJson>, Problem> {
    let (most, after) = (most(search.most)?, after(search.after, Cursor::parked)?);
    let words = ParkedState::ALL.map(ParkedState::as_str).join(", ");
    let state = word("state", search.state, ParkedState::read, &words)?;
    let Search { subscription, consumer, tenant, key, event, reason, .. } = search;
    let filter = Which { subscription, consumer, tenant, key, event, reason }.filter();
    let parked =
        subscriptions.parked(&ParkedFilter { state, after, ..filter }, most).await.map_err(problem)?;
    let next = Cursor::behind(&parked, most);
    Ok(Json(ParkedListJson { parked: all(parked), next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redrive {
    filter: Option<Which>,
    #[serde(default)]
    all: bool,
    most: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct RedrivenJson {
    keys: u64,
}

/// One page, as fast as it goes: a request is no place to wait in. Who wants a rate asks again, or takes the command line.
pub(super) async fn redrive(
    State(subscriptions): State<Subscriptions>,
    Body(redrive): Body<Redrive>,
) -> Result<Json<RedrivenJson>, Problem> {
    let most = most_changed(redrive.most)?;
    let keys = subscriptions.redrive(said(redrive.filter, redrive.all)?).most(most.into()).await;
    Ok(Json(RedrivenJson { keys: keys.map_err(problem)? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Discard {
    filter: Option<Which>,
    #[serde(default)]
    all: bool,
    why: String,
    #[serde(default)]
    keys: bool,
    most: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct DiscardedJson {
    discarded: u64,
}

pub(super) async fn discard(
    State(subscriptions): State<Subscriptions>,
    Body(discard): Body<Discard>,
) -> Result<Json<DiscardedJson>, Problem> {
    let most = u64::from(most_changed(discard.most)?);
    let filter = said(discard.filter, discard.all)?;
    let discarded = match discard.keys {
        true => subscriptions.discard_keys(&filter, &discard.why, most).await,
        false => subscriptions.discard(&filter, &discard.why, most).await,
    };
    Ok(Json(DiscardedJson { discarded: discarded.map_err(problem)? }))
}
