//! The table of the guide: each id that a test shows, with tests that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const GUIDE: &str = include_str!("../../../../docs/security.md");

/// All text of the crate's own, of `shared-core` and of `shared-service`.
fn sources() -> String {
    fn read(path: &Path, all: &mut String) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, all);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                all.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for part in ["src", "tests", "../core/src", "../service/src", "../service/tests"] {
        read(&root.join(part), &mut all);
    }
    all
}

/// `9.1.2`: three numbers.
fn is_id(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

#[test]
fn the_table_has_every_id_and_every_test_in_it_is_there() {
    let sources = sources();
    let named = sources.lines().filter_map(|line| line.split_once("/// ASVS ")).flat_map(|(_, line)| {
        line.split([' ', ',', ':', ';']).map(|word| word.trim_end_matches('.')).filter(|word| is_id(word))
    });
    let named: BTreeSet<&str> = named.collect();
    let (_, table) = GUIDE.split_once("## OWASP ASVS 5.0").unwrap();
    let (table, _) = table.split_once("## Peers").unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| ")?.split_once(" | "));
    let rows: Vec<(&str, &str)> = rows.filter(|(id, _)| is_id(id)).collect();

    let listed: BTreeSet<&str> = rows.iter().map(|(id, _)| *id).collect();
    assert_eq!(
        named.difference(&listed).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "they are missing in the table"
    );
    for (id, row) in rows {
        let (_, tests) = row.split_once(" | ").unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            let name = test.rsplit("::").next().unwrap();
            let is_there =
                [format!("fn {name}("), format!("mod {name};")].iter().any(|code| sources.contains(code));
            assert!(is_there, "{id}: there is no {test}");
        }
    }
}
