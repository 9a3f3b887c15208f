//! Names that look like settings and are none.

use shared_core::schema::{Code, Mistake, Variables};

use crate::declaration::Names;
use crate::kubernetes;

/// Judges the names that belong to no setting: those that begin with the program's prefix, and where the environment is `closed`, all.
///
/// Close to a setting's name, it is a slip and a problem. Otherwise it is a warning, in every profile: while a release
/// is rolled back, the environment holds settings that the older program does not know, and it must start.
/// Returns the warnings; problems go to `mistakes`.
pub(crate) fn check(
    names: &Names<'_>,
    prefix: &str,
    variables: &Variables,
    mistakes: &mut Vec<Mistake>,
    closed: bool,
) -> Vec<Mistake> {
    for missing in mistakes.iter_mut().filter(|mistake| mistake.code == Code::Missing) {
        suggest(missing, prefix, names, variables);
    }
    let mut warnings = Vec::new();
    for (name, origin) in variables.names() {
        let text = variables.get(name).and_then(|entry| entry.text.as_deref());
        let is_ours = || has_prefix(name, prefix) && !kubernetes::sets(name, text);
        if names.contains_key(name) || !(closed || is_ours()) {
            continue;
        }
        let Some(meant) = nearest(name, prefix, names.keys()) else {
            warnings.push(Mistake::new(name, Code::UnknownName, "unknown name").from(origin.clone()));
            continue;
        };
        // One slip is one problem: what it was meant for is not missing as well.
        mistakes.retain(|mistake| mistake.code != Code::Missing || mistake.name != *meant);
        let message = format!("unknown name; did you mean {meant}?");
        mistakes.push(Mistake::new(name, Code::UnknownName, message).from(origin.clone()));
    }
    warnings
}

/// A missing variable with an absolute name may be there under a name that is close.
fn suggest(missing: &mut Mistake, prefix: &str, names: &Names<'_>, variables: &Variables) {
    let absolute = !has_prefix(&missing.name, prefix);
    let others = || variables.names().map(|(name, _)| name).filter(|name| !names.contains_key(*name));
    if absolute && let Some(near) = others().find(|name| is_near(name, &missing.name, "")) {
        missing.hint = Some(format!("{near} is set; is it meant for this?"));
    }
}

/// Without a prefix no name can be told from those of others.
fn has_prefix(name: &str, prefix: &str) -> bool {
    let start = name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    !prefix.is_empty() && start && name[prefix.len()..].starts_with(['_', '-', '.'])
}

fn nearest<'a>(name: &str, prefix: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    names
        .filter(|known| is_near(name, known, prefix))
        .min_by_key(|known| distance(&normal(name), &normal(known)))
}

/// Two slips of the finger; one in a name that is so short that two make it another word.
fn is_near(name: &str, known: &str, prefix: &str) -> bool {
    let allowed = if known.len().saturating_sub(prefix.len()) < 6 { 1 } else { 2 };
    distance(&normal(name), &normal(known)) <= allowed
}

/// Case and the number and kind of separators do not count.
fn normal(name: &str) -> String {
    let words = name.split(['_', '-', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_uppercase()
}

/// Edits between two names: insert, delete, replace, or swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // Far apart in length means far apart; the table stays small however long a name is.
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near() {
        for slip in [
            "NOTES_DB_POOL_TIMOUT",
            "NOTES_DB_POLO_TIMEOUT",
            "NOTES_DB__POOL_TIMEOUT",
            "notes-db.pool_timeout",
        ] {
            assert!(is_near(slip, "NOTES_DB_POOL_TIMEOUT", "NOTES"), "{slip}");
        }
        assert!(!is_near("NOTES_DB_POOL_MAXIMUM", "NOTES_DB_POOL_TIMEOUT", "NOTES"));
        assert!(!is_near("NOTES_TOP", "NOTES_TTL", "NOTES"));
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "abcd", 1), ("abc", "xbz", 2)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
