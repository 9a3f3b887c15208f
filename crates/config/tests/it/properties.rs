//! Whatever the environment holds: no panic, no value in a report, and each mistake is one problem.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use shared_config::{Loader, Profile};
use shared_core::{Config, Secret};

#[derive(Config, Debug)]
#[config(prefix = "NOTES")]
struct Settings {
    flag: bool,
    count: u32,
    ratio: f64,
    wait: Duration,
    listen: SocketAddr,
    color: Color,
    numbers: Vec<u8>,
    optional: Option<i64>,
    profile: Profile,
    db: Db,
}

#[derive(Config, Debug)]
struct Db {
    #[config(env = "DATABASE_URL", url("postgres"))]
    url: Secret,
    #[config(min = 1, max = 1000)]
    size: u16,
}

#[derive(Config, Debug)]
enum Color {
    Red,
    Green,
}

const NAMES: [&str; 11] = [
    "NOTES_FLAG",
    "NOTES_COUNT",
    "NOTES_RATIO",
    "NOTES_WAIT",
    "NOTES_LISTEN",
    "NOTES_COLOR",
    "NOTES_NUMBERS",
    "NOTES_OPTIONAL",
    "NOTES_PROFILE",
    "DATABASE_URL",
    "NOTES_DB_SIZE",
];

/// Texts that no setting accepts and no report says by itself.
fn junk() -> impl Strategy<Value = String> {
    "[xzqjXZQJ%~ä][ -~ä\\n]{2,30}[xzqjXZQJ%~ä]"
}

fn shown(loader: Loader) -> Option<(usize, String)> {
    let report = loader.load::<Settings>().err()?;
    let json = serde_json::to_string(&report).expect("a report is JSON");
    let problems = report.problems.len();
    Some((problems, format!("{report}\n{report:?}\n{:?}\n{json}", report.problems)))
}

proptest! {
    #[test]
    fn junk_is_one_problem_each_and_never_shown(values in proptest::collection::vec(junk(), NAMES.len())) {
        let vars = NAMES.iter().zip(&values);
        let (problems, shown) = shown(Loader::new("notes").vars(vars)).expect("a problem");
        prop_assert_eq!(problems, NAMES.len());
        for value in &values {
            prop_assert!(!shown.contains(value.as_str()), "{value:?} in {shown}");
        }
    }

    #[test]
    fn each_mistake_is_one_problem(wrong in proptest::collection::vec(any::<bool>(), NAMES.len())) {
        let right = ["true", "1", "0.5", "1s", "80", "red", "1,2", "-1", "test", "postgres://db", "10"];
        let vars = (0..NAMES.len()).map(|i| (NAMES[i], if wrong[i] { "?!" } else { right[i] }));
        let problems = shown(Loader::new("notes").vars(vars)).map_or(0, |(problems, _)| problems);
        prop_assert_eq!(problems, wrong.iter().filter(|wrong| **wrong).count());
    }

    #[test]
    fn any_text_and_any_file_end_in_settings_or_a_report(
        values in proptest::collection::vec(any::<String>(), NAMES.len()),
        file in any::<String>(),
        lines in "([A-Z_]{0,6}(=|)['\"]?[ -~]{0,9}['\"]?\n){0,6}",
    ) {
        let vars = NAMES.iter().zip(&values);
        let _ = shown(Loader::new("notes").vars(vars).dotenv(file));
        let _ = shown(Loader::new("notes").dotenv(lines));
    }
}
