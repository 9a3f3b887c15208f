//! Searches as users make them: how long they take, what they find, and what they don't.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use shared_service::core::Failure;

use crate::client::{Client, TenantClient};
use crate::plan::{Plan, Share};
use crate::service::{Found, tenant_id};

/// What can be asked of any software.
const QUESTIONS: [&str; 8] = [
    "how to configure a timeout",
    "parse a date from text",
    "error handling",
    "run several tasks at the same time",
    "make random numbers",
    "encrypt a message with a key",
    "find many words in a text at once",
    "convert a value to JSON",
];

/// Searches: enough for a p95 that five of them lie above.
const SEARCHES: usize = 100;

/// Tenants that are asked: the largest.
const TENANTS: usize = 12;

/// Answers that are shown.
const SHOWN: usize = 3;

/// What ends the name of a file, and is no word.
const EXTENSIONS: [&str; 6] = ["txt", "md", "markdown", "rs", "html", "htm"];

/// A question of a tenant, what it found, and how long that took from the request to the answer.
pub(crate) struct Answer {
    pub(crate) tenant: String,
    pub(crate) question: String,
    pub(crate) found: Found,
    pub(crate) took: Duration,
}

/// Something that must hold, and whether it did.
pub(crate) struct Proof {
    pub(crate) what: String,
    pub(crate) holds: bool,
}

/// Asks every question of every large tenant, one after the other. Of software everybody asks the same; of other documents
/// their titles tell what can be asked.
pub(crate) async fn ask(client: &Client, plan: &Plan, is_software: bool) -> Result<Vec<Answer>, Failure> {
    let largest: Vec<&Share> = plan.largest().into_iter().take(TENANTS).collect();
    let questions: Vec<String> = match is_software {
        true => QUESTIONS.map(str::to_owned).to_vec(),
        false => {
            (0..QUESTIONS.len()).map(|at| title(largest[at % largest.len()], at / largest.len())).collect()
        }
    };
    let mut answers = Vec::with_capacity(SEARCHES);
    let pairs = questions.iter().flat_map(|question| largest.iter().map(move |share| (question, share)));
    for (question, share) in pairs.cycle().take(SEARCHES) {
        let tenant = client.tenant(&share.name)?;
        let began = Instant::now();
        let found = tenant.search(question, 10).await?;
        let took = began.elapsed();
        answers.push(Answer { tenant: share.name.clone(), question: question.clone(), found, took });
    }
    Ok(answers)
}

/// How long the answers took, ascending.
pub(crate) fn times(answers: &[Answer]) -> Vec<Duration> {
    let mut times: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    times.sort();
    times
}

/// The time that this share of all was not longer than (nearest rank).
pub(crate) fn percentile(ascending: &[Duration], share: f64) -> Duration {
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The answers that are nearest to their questions: different questions, of different tenants as far as there are some.
pub(crate) fn best(answers: &[Answer]) -> Vec<&Answer> {
    let mut best: Vec<&Answer> = Vec::new();
    while best.len() < SHOWN {
        let is_new = |answer: &&Answer| best.iter().all(|shown| shown.question != answer.question);
        let is_others = |answer: &&Answer| best.iter().all(|shown| shown.tenant != answer.tenant);
        let candidates = || answers.iter().filter(is_new).filter(|answer| !answer.found.items.is_empty());
        let nearest = |a: &&Answer, b: &&Answer| top(a).total_cmp(&top(b));
        let next = candidates().filter(is_others).max_by(nearest).or_else(|| candidates().max_by(nearest));
        match next {
            Some(next) => best.push(next),
            None => break,
        }
    }
    best
}

fn top(answer: &Answer) -> f64 {
    answer.found.items.first().map_or(f64::MIN, |hit| hit.score)
}

/// A title of the tenant as a question; that of a file without a heading is its path, of which the last word counts.
fn title(share: &Share, at: usize) -> String {
    let title = share.titles.get(at % share.titles.len().max(1)).map_or(share.name.as_str(), String::as_str);
    let name = title.rsplit('/').next().unwrap_or(title);
    let name =
        name.rsplit_once('.').filter(|(_, end)| EXTENSIONS.contains(end)).map_or(name, |(stem, _)| stem);
    name.replace(['_', '-', '.'], " ").chars().take(200).collect()
}

/// Lets others ask what this tenant asked, and shows that they get nothing of it.
pub(crate) async fn isolation(client: &Client, plan: &Plan, answer: &Answer) -> Result<Vec<Proof>, Failure> {
    let Answer { tenant: owner, question, found, .. } = answer;
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
        assert_eq!(title(&share, 3), "http client");
    }
}
