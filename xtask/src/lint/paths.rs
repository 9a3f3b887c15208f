//! No path of one machine, in any file: it leads nowhere on every other one.

use super::Finding;
use super::source::Source;

/// Directories at the root of a file system that only a machine's owner has.
const OWNED: [&str; 3] = ["work", "root", "home"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let places = OWNED.iter().flat_map(|name| absolute(&source.text, format!("/{name}/")));
    places.map(|at| source.finding(at, "an absolute path of one machine")).collect()
}

/// Offsets where a path begins with this directory, rather than going through one of that name.
fn absolute(text: &str, directory: String) -> Vec<usize> {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}' | ')' | '*');
    let places = text.match_indices(&directory).map(|(at, _)| at);
    places.filter(|&at| !text[..at].ends_with(goes_on)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Source::new("README.md", text)).len()
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for name in OWNED {
            assert_eq!(findings(&format!("see `/{name}/someone/notes`")), 1, "{name}");
            assert_eq!(findings(&format!("file:///{name}/someone")), 1, "{name}");
        }
    }

    #[test]
    fn a_path_within_the_project_or_an_address_is_fine() {
        assert_eq!(findings("./work/a src/root/b https://example.org/home/c ../home/d /homework/"), 0);
    }
}
