//! Searches as users make them: how long they take, what they find, and what they don't.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use shared_service::core::Failure;

use crate::client::{Client, TenantClient};
use crate::plan::{Plan, Share};
use crate::service::{Found, tenant_id};

/// What can be asked of any software.
const QUESTIONS: [&str; 3] = ["how to configure a timeout", "parse a date from text", "error handling"];

/// Searches whose time is taken: enough for a p95 that five of them lie above.
const TIMED: usize = 100;

/// Tenants that are asked: the largest.
const ASKED: usize = 12;

/// A question, and what a tenant found.
pub(crate) struct Sample {
    pub(crate) tenant: String,
    pub(crate) question: String,
    pub(crate) found: Found,
}

/// Something that must hold, and whether it did.
pub(crate) struct Proof {
    pub(crate) what: String,
    pub(crate) holds: bool,
}

/// How long searches took, one after the other, from the request to the answer; ascending.
pub(crate) async fn times(client: &Client, plan: &Plan) -> Result<Vec<Duration>, Failure> {
    let mut tenants = Vec::new();
    for share in plan.largest().into_iter().take(ASKED) {
        tenants.push((client.tenant(&share.name)?, share));
    }
    let mut times = Vec::new();
    for (at, (tenant, share)) in tenants.iter().cycle().take(TIMED).enumerate() {
        let round = at / tenants.len();
        let question =
            if at % 2 == 0 { QUESTIONS[round % QUESTIONS.len()].to_owned() } else { title(share, round) };
        let began = Instant::now();
        tenant.search(&question, 10).await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}

/// The time that this share of all was not longer than (nearest rank).
pub(crate) fn percentile(ascending: &[Duration], share: f64) -> Duration {
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Three questions, each answered by the tenant that knows most about it. Of software everybody asks the same; of other
/// documents their titles tell what can be asked.
pub(crate) async fn samples(client: &Client, plan: &Plan, is_software: bool) -> Result<Vec<Sample>, Failure> {
    let largest = plan.largest();
    let mut samples: Vec<Sample> = Vec::new();
    for at in 0..QUESTIONS.len() {
        let sample = if is_software {
            best(client, &largest, QUESTIONS[at], &samples).await?
        } else {
            let share = largest[at % largest.len()];
            answer(client, share, title(share, at)).await?
        };
        samples.extend(sample);
    }
    Ok(samples)
}

/// The answer of the tenant, not asked before, whose best hit is nearest to the question.
async fn best(
    client: &Client,
    tenants: &[&Share],
    question: &str,
    before: &[Sample],
) -> Result<Option<Sample>, Failure> {
    let mut best: Option<Sample> = None;
    for share in tenants.iter().take(ASKED).filter(|share| before.iter().all(|one| one.tenant != share.name))
    {
        let sample = answer(client, share, question.to_owned()).await?;
        if sample.as_ref().map(top) > best.as_ref().map(top) {
            best = sample;
        }
    }
    Ok(best)
}

async fn answer(client: &Client, share: &Share, question: String) -> Result<Option<Sample>, Failure> {
    let found = client.tenant(&share.name)?.search(&question, 3).await?;
    let sample = Sample { tenant: share.name.clone(), question, found };
    Ok((!sample.found.items.is_empty()).then_some(sample))
}

fn top(sample: &Sample) -> f64 {
    sample.found.items.first().map_or(f64::MIN, |hit| hit.score)
}

/// A title of the tenant as a question; that of a file without a heading is its path.
fn title(share: &Share, at: usize) -> String {
    let title = share.titles.get(at % share.titles.len().max(1)).map_or(share.name.as_str(), String::as_str);
    let words = title.rsplit('/').next().unwrap_or(title).replace(['_', '-', '.'], " ");
    words.chars().take(200).collect()
}

/// Lets others ask what the sample's tenant asked, and shows that they get nothing of it.
pub(crate) async fn isolation(client: &Client, plan: &Plan, sample: &Sample) -> Result<Vec<Proof>, Failure> {
    let Sample { tenant: owner, question, found } = sample;
    let document = found.items[0].document;
    let mut proofs = Vec::new();
    let mut prove = |what: String, holds: bool| proofs.push(Proof { what, holds });
    let own = client.tenant(owner)?.try_read(document).await?;
    prove(format!("{owner} reads its document with its own token: {}", own.as_u16()), own == StatusCode::OK);
    let neighbour = plan.largest().into_iter().find(|share| share.name != *owner);
    for other in neighbour.map(|share| share.name.as_str()).into_iter().chain(["a tenant without documents"])
    {
        let other_client = client.tenant(other)?;
        let (hits, foreign) = foreign_hits(&other_client, owner, question).await?;
        prove(format!("{other} asks the same: {hits} hits, {foreign} of them {owner}'s"), foreign == 0);
        let read = other_client.try_read(document).await?;
        prove(
            format!("{other} asks for that document by its id: {}", read.as_u16()),
            read == StatusCode::NOT_FOUND,
        );
    }
    let nobody = client.without_token("/search?text=anything").await?;
    prove(format!("nobody asks, without a token: {}", nobody.as_u16()), nobody == StatusCode::UNAUTHORIZED);
    Ok(proofs)
}

/// How many hits a tenant has, and how many of these are documents of another. A document's id follows from its tenant
/// and its path, so a hit tells whose it is.
async fn foreign_hits(client: &TenantClient, owner: &str, question: &str) -> Result<(usize, usize), Failure> {
    let hits = client.search(question, 50).await?.items;
    let is_owners = |document, path: &str| crate::service::document_id(tenant_id(owner), path) == document;
    let foreign = hits.iter().filter(|hit| is_owners(hit.document, &hit.path)).count();
    Ok((hits.len(), foreign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.50), Duration::from_millis(50));
        assert_eq!(percentile(&times, 0.95), Duration::from_millis(95));
        assert_eq!(percentile(&times[..1], 0.95), Duration::from_millis(1));
        assert_eq!(percentile(&[], 0.95), Duration::ZERO);
    }

    #[test]
    fn a_path_becomes_words() {
        let share = Share { titles: vec!["src/http_client.rs".to_owned()], ..Share::default() };
        assert_eq!(title(&share, 3), "http client rs");
    }
}
