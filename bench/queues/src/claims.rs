//! How long claims take, as the server has it: for a while it writes down how long each of its statements took.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use crate::report::{median, sorted};
use crate::servers::session;

/// Some thousand claims, whose statements are written to the log as a whole.
pub(crate) const WATCHED: Duration = Duration::from_secs(2);

/// The median time of a claim in milliseconds: what the server planned, bound and executed.
pub(crate) async fn median_millis(url: &str, log: &Path) -> f64 {
    let server = session(url).await;
    let set = async |value: &str| {
        server
            .batch_execute(&format!("alter system set log_min_duration_statement = {value}"))
            .await
            .unwrap();
        server.batch_execute("select pg_reload_conf()").await.unwrap();
    };
    let before = std::fs::metadata(log).unwrap().len();
    set("0").await;
    sleep(WATCHED).await;
    set("-1").await;
    let mut written = Vec::new();
    let mut file = File::open(log).unwrap();
    file.seek(SeekFrom::Start(before)).unwrap();
    file.read_to_end(&mut written).unwrap();
    median(&sorted(durations(&String::from_utf8_lossy(&written)).into_iter()))
}

/// Of all that look like a claim. A statement's parts lie in entries of their own: `duration: 0.071 ms  bind s1: select ..`, in which
/// further lines of the statement begin with a tab.
fn durations(log: &str) -> Vec<f64> {
    let mut claims = Vec::new();
    let mut prepared = std::collections::HashMap::new();
    for entry in log.replace("\n\t", " ").lines() {
        let Some((head, rest)) = entry.split_once("duration: ") else { continue };
        let Some((millis, said)) = rest.split_once(" ms  ") else { continue };
        let (Ok(millis), true) = (millis.parse::<f64>(), is_claim(said)) else { continue };
        // The process: `2026-01-01 00:00:00.000 UTC [4711] database LOG: ..`.
        let process =
            head.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(process, _)| process);
        let so_far: &mut f64 = prepared.entry(process).or_default();
        *so_far += millis;
        if said.starts_with("execute") {
            claims.push(std::mem::take(so_far));
        }
    }
    claims
}

/// Jobs are taken with `skip locked` by all of them; one has a function for that.
fn is_claim(statement: &str) -> bool {
    let statement = statement.to_lowercase();
    statement.contains("skip locked") || statement.contains("get_jobs(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claims_parts_are_added_up_and_other_statements_left_out() {
        let log = "2026-01-01 00:00:00.000 UTC [7] a LOG:  duration: 0.250 ms  bind s1: select id from job\n\
                   \t for update skip locked\n\
                   2026-01-01 00:00:00.000 UTC [8] a LOG:  duration: 9.000 ms  execute s2: delete from job\n\
                   2026-01-01 00:00:00.001 UTC [7] a LOG:  duration: 0.500 ms  execute s1: select id from job\n\
                   \t for update SKIP LOCKED\n";
        assert_eq!(durations(log), [0.75]);
    }
}
